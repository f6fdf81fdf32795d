"""A fit against a loop written by hand: equal to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, OneCycleLR
from torch.utils.data import DataLoader

import lifecycle as pl
from lifecycle.train.seeding import seed_batch
from tests.train.course import Course, numbered
from tests.train.small import Plain, Recorder, Regression, loader, quiet, same, samples, seeded

EPOCHS = 3


def by_hand(module: Regression, *, accumulate: int = 1, clip: float | None = None, batches: int = 6) -> None:
    """What a fit does, without a trainer: AdamW and one cycle, or plain gradient descent."""
    parameters = list(module.parameters())
    steps = -(-batches // accumulate) * EPOCHS
    if isinstance(module, Plain):
        optimizer: torch.optim.Optimizer = torch.optim.SGD(parameters, lr=0.05)
        schedule: LRScheduler = ConstantLR(optimizer, factor=1.0)
    else:
        optimizer = torch.optim.AdamW(parameters, lr=0.05)
        schedule = OneCycleLR(optimizer, max_lr=0.05, total_steps=steps)
    for epoch in range(EPOCHS):
        seed_batch(7, epoch, -1)
        for index, (inputs, targets) in enumerate(islice(loader(shuffle=True), batches)):
            seed_batch(7, epoch, index)
            if index % accumulate == 0:
                optimizer.zero_grad()
            (mse_loss(module(inputs), targets) / accumulate).backward()  # type: ignore[no-untyped-call]
            if (index + 1) % accumulate == 0 or index + 1 == batches:
                if clip is not None:
                    clip_grad_norm_(parameters, clip)
                optimizer.step()
                schedule.step()


@pytest.mark.parametrize("module", [Regression, Plain])
@pytest.mark.parametrize(
    ("options", "hand"),
    [
        ({}, {}),
        ({"accumulate_grad_batches": 2}, {"accumulate": 2}),
        ({"accumulate_grad_batches": 4}, {"accumulate": 4}),  # windows of 4 and 2
        ({"gradient_clip_val": 0.05}, {"clip": 0.05}),
        ({"gradient_clip_val": 0}, {}),  # as in Lightning, no limit
        ({"accumulate_grad_batches": 4, "gradient_clip_val": 0.05}, {"accumulate": 4, "clip": 0.05}),
        ({"limit_train_batches": 5}, {"batches": 5}),
        ({"limit_train_batches": 0.5}, {"batches": 3}),
        ({"limit_train_batches": 5, "accumulate_grad_batches": 3}, {"batches": 5, "accumulate": 3}),
    ],
)
def test_a_fit_equals_a_loop_written_by_hand(module: type[Regression], options: Any, hand: Any) -> None:
    expected = seeded(module)
    by_hand(expected, **hand)
    fitted = seeded(module)
    trainer = quiet(max_epochs=EPOCHS, **options)
    trainer.fit(fitted, loader(shuffle=True), loader())
    assert same(fitted.state_dict(), expected.state_dict())
    batches, accumulate = hand.get("batches", 6), hand.get("accumulate", 1)
    assert trainer.global_step == EPOCHS * -(-batches // accumulate) == trainer.estimated_stepping_batches


def test_the_options_make_a_difference() -> None:
    results: list[object] = []
    for options in (
        {},
        {"accumulate_grad_batches": 2},
        {"gradient_clip_val": 0.05},
        {"limit_train_batches": 5},
    ):
        module = seeded()
        quiet(max_epochs=EPOCHS, **options).fit(module, loader(shuffle=True))
        results.append(module.state_dict())
    assert not any(same(first, second) for first, second in combinations(results, 2))


def test_a_loader_without_a_length_is_read_to_its_end() -> None:
    class Stream:
        def __iter__(self) -> Iterator[object]:
            return iter(loader(shuffle=True))

    expected = seeded(Plain)
    by_hand(expected, accumulate=4)
    fitted = seeded(Plain)
    trainer = quiet(max_epochs=EPOCHS, accumulate_grad_batches=4)
    trainer.fit(fitted, Stream())
    assert same(fitted.state_dict(), expected.state_dict())
    assert trainer.global_step == EPOCHS * 2
    assert trainer.estimated_stepping_batches == float("inf")


class Order(Plain):
    """Keeps the first input of every sample that it was trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.seen += batch[0][:, 0].tolist()
        return super().training_step(batch, batch_idx)


def order(workers: int, epochs: int = 2) -> list[float]:
    module = seeded(Order)
    quiet(max_epochs=epochs).fit(module, loader(shuffle=True, workers=workers))
    return module.seen  # type: ignore[no-any-return]


def test_the_order_of_data_does_not_depend_on_the_number_of_workers() -> None:
    alone = order(0)
    assert alone[:22] != alone[22:]
    assert sorted(alone[:22]) == sorted(alone[22:])
    assert order(2) == alone


def test_an_epochs_order_does_not_depend_on_what_was_drawn_before() -> None:
    class Wasteful(Order):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            torch.rand(3)

    module = seeded(Wasteful)
    quiet(max_epochs=2).fit(module, loader(shuffle=True))
    assert module.seen == order(0)


def test_augmentation_of_the_loading_process_is_repeatable() -> None:
    class Noisy(torch.utils.data.Dataset[Tensor]):
        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int) -> Tensor:
            return torch.rand(4)

    class See(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[Tensor] = []

        def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:  # type: ignore[override]
            self.seen.append(batch)
            torch.rand(batch_idx)
            return self(batch).sum()  # type: ignore[no-any-return]

    runs = []
    for _ in range(2):
        module = seeded(See)
        quiet(max_epochs=2).fit(module, DataLoader(Noisy(), 2))
        runs.append(module.seen)
    assert same(runs[0], runs[1])
    assert len({float(batch.sum()) for batch in runs[0]}) == 8


def stops(hook: str, *, epoch: int = 1, batch: int | None = None) -> pl.Callback:
    def stop(self: pl.Callback, trainer: pl.Trainer, pl_module: pl.Module, *given: object) -> None:
        if trainer.current_epoch == epoch and (batch is None or given[-1] == batch):
            trainer.should_stop = True

    return type("Stops", (pl.Callback,), {hook: stop})()  # type: ignore[no-any-return]


@pytest.mark.parametrize("hook", ["on_validation_end", "on_train_epoch_end"])
def test_a_fit_ends_after_the_epoch_in_which_it_is_told_to_stop(hook: str) -> None:
    trainer = quiet(max_epochs=9, callbacks=stops(hook))
    trainer.fit(Plain(), loader(), loader())
    assert trainer.global_step == 2 * 6


@pytest.mark.parametrize(
    ("min_epochs", "min_steps", "steps"),
    [(None, None, 3), (1, None, 6), (2, None, 12), (None, 5, 6), (None, 8, 8), (2, 8, 12), (1, 8, 8)],
)
def test_a_request_to_stop_within_an_epoch_waits_for_the_least_that_is_to_be_done(
    min_epochs: int | None, min_steps: int | None, steps: int
) -> None:
    trainer = quiet(
        max_epochs=5,
        min_epochs=min_epochs,
        min_steps=min_steps,
        callbacks=stops("on_train_batch_end", epoch=0, batch=2),
    )
    trainer.fit(Plain(), loader())
    assert trainer.global_step == steps
    assert trainer.current_epoch == -(-steps // 6)


def test_a_stopped_trainer_goes_on_when_it_fits_again() -> None:
    trainer, module = quiet(max_epochs=5, callbacks=stops("on_train_epoch_end")), Plain()
    trainer.fit(module, loader())
    assert (trainer.current_epoch, trainer.global_step) == (2, 12)
    trainer.fit(module, loader())
    assert (trainer.current_epoch, trainer.global_step) == (5, 30)
    trainer.fit(module, loader())
    assert (trainer.current_epoch, trainer.global_step) == (5, 30)
    trainer.fit_loop.max_epochs = 6
    trainer.fit(module, loader())
    assert (trainer.current_epoch, trainer.global_step) == (6, 36)


@pytest.mark.parametrize(
    ("options", "epochs", "steps"),
    [
        ({"max_epochs": 0}, 0, 0),
        ({"max_epochs": -1, "max_steps": 8}, 2, 8),
        ({"max_epochs": None, "max_steps": 13}, 3, 13),
        ({"max_epochs": 2, "max_steps": 100}, 2, 12),
        ({"max_epochs": 3, "max_steps": 5, "accumulate_grad_batches": 4}, 3, 5),
    ],
)
def test_a_fit_ends_with_its_epochs_or_its_steps(options: Any, epochs: int, steps: int) -> None:
    trainer = quiet(**options)
    trainer.fit(Plain(), loader())
    assert (trainer.current_epoch, trainer.global_step) == (epochs, steps)


def test_loggers_are_given_the_number_of_batches_that_stepped_before() -> None:
    recorder = Recorder()
    options = {"max_epochs": 2, "log_every_n_steps": 2, "accumulate_grad_batches": 2}
    quiet(logger=recorder, **options).fit(Plain(), loader(), loader())
    assert [(step, sorted(sent), sent["epoch"]) for step, sent in recorder.sent] == [
        (1, ["epoch", "train_loss_step"], 0),
        (2, ["epoch", "val_loss"], 0),
        (2, ["epoch", "train_loss_epoch"], 0),
        (3, ["epoch", "train_loss_step"], 1),
        (5, ["epoch", "train_loss_step"], 1),
        (5, ["epoch", "val_loss"], 1),
        (5, ["epoch", "train_loss_epoch"], 1),
    ]


def returning(value: Callable[[Tensor], object]) -> Plain:
    class Returns(Plain):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> Any:
            return value(mse_loss(self(batch[0]), batch[1]))

    return seeded(Returns)  # type: ignore[no-any-return]


def test_a_step_may_return_a_dictionary_with_the_loss() -> None:
    expected, fitted = returning(lambda loss: loss), returning(lambda loss: {"loss": loss, "more": 1})
    for module in (expected, fitted):
        quiet().fit(module, loader())
    assert same(fitted.state_dict(), expected.state_dict())


def test_a_step_that_returns_none_changes_nothing_and_counts() -> None:
    module = returning(lambda loss: None)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    trainer = quiet()
    trainer.fit(module, loader())
    assert same(module.state_dict(), before)
    assert trainer.global_step == 6


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            lambda loss: loss.item(),
            r"^training_step returned float; allowed: a tensor, a dictionary with 'loss', None$",
        ),
        (
            lambda loss: {"los": loss},
            r"^training_step returned a dictionary without a tensor 'loss'; it has: los$",
        ),
    ],
)
def test_a_step_that_returns_something_else_is_refused(
    value: Callable[[Tensor], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        quiet().fit(returning(value), loader())


def test_without_an_optimizer_nothing_is_trained() -> None:
    class Frozen(Plain):
        def configure_optimizers(self) -> object:
            return None

    module = seeded(Frozen)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    trainer = quiet()
    with pytest.warns(UserWarning, match="^configure_optimizers returned None: this fit changes no weights$"):
        trainer.fit(module, loader())
    assert same(module.state_dict(), before)
    assert trainer.global_step == 6
    assert float(trainer.callback_metrics["train_loss"]) > 0


def test_parts_in_evaluation_mode_stay_so() -> None:
    seen = []

    class Backbone(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.net[0].eval()

        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            seen.append((self.training, self.net.training, self.net[0].training))
            return super().training_step(batch, batch_idx)

    quiet(max_epochs=2, limit_train_batches=1).fit(Backbone(), loader(), loader())
    assert seen == [(True, True, False)] * 2


def test_a_module_in_evaluation_mode_is_left_in_it() -> None:
    seen = []

    class See(Plain):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            seen.append(any(part.training for part in self.modules()))
            return super().training_step(batch, batch_idx)

    module = See()
    module.eval()
    quiet(limit_train_batches=1).fit(module, loader())
    assert seen == [False]


def test_samples_of_the_last_batch_weigh_as_the_others() -> None:
    whole = mse_loss(seeded(Plain)(samples().tensors[0]), samples().tensors[1])
    module = seeded(Plain, lr=0.0)
    trainer = quiet()
    trainer.fit(module, loader())
    assert float(trainer.callback_metrics["train_loss"]) == pytest.approx(whole.item(), rel=1e-6)


def test_who_asks_to_stop_as_an_epoch_begins_stops_it(tmp_path: Path) -> None:
    class Stop(pl.Callback):
        def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.Module) -> None:
            trainer.should_stop = trainer.current_epoch == 1

    trainer, module = quiet(max_epochs=3, callbacks=Stop()), Course()
    trainer.fit(module, numbered())
    assert "".join(f"{epoch}:{batch} " for epoch, batch in module.notes) == "t0:0 t0:1 t0:2 t0:3 t0:4 t0:5 "
    assert (trainer.current_epoch, trainer.global_step) == (2, 6)  # as Lightning counts
    trainer.save_checkpoint(tmp_path / "cut.ckpt")
    again = Course()
    quiet(max_epochs=3).fit(again, numbered(), ckpt_path=tmp_path / "cut.ckpt")
    assert [again.notes.count((epoch, "0")) for epoch in ("t0", "t1", "t2")] == [0, 1, 1]
