from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Dataset
from torchmetrics import MeanMetric

import lifecycle as pl
from lifecycle.callbacks import StochasticWeightAveraging, Timer
from lifecycle.core.errors import UsageError
from tests.train.callbacks.disturbed import both, differences
from tests.train.small import loader, quiet, same, samples


class Network(pl.Module):
    def __init__(self, *, norm: bool = False, scheduler: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(4, 8),
            nn.Dropout(dropout),
            nn.BatchNorm1d(8) if norm else nn.Tanh(),
            nn.Linear(8, 1),
        )
        self.scheduler = scheduler
        self.metric: MeanMetric | None = None

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = mse_loss(self.net(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        if self.metric is not None:
            self.metric.update(loss.detach())
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return ([optimizer], [StepLR(optimizer, 1, gamma=0.9)]) if self.scheduler else optimizer


def made(**arguments: Any) -> Network:
    pl.seed_everything(7)
    module = Network(**arguments)
    pl.seed_everything(7)
    return module


class Epochs(pl.Callback):
    """Weights that each epoch begins with, and the learning rate that its first batch has."""

    def __init__(self) -> None:
        self.weights: list[Tensor] = []
        self.rates: list[float] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.Module, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 0:
            self.weights.append(pl_module.net[0].weight.detach().clone())  # type: ignore[index, union-attr]
            self.rates.append(round(trainer.optimizers[0].param_groups[0]["lr"], 6))


def fit(swa: StochasticWeightAveraging, module: Network, epochs: int, **options: Any) -> Epochs:
    seen = Epochs()
    quiet(**{"max_epochs": epochs, "callbacks": [swa, seen], **options}).fit(module, loader())
    return seen


@pytest.mark.parametrize(("start", "first"), [(3, 2), (0.5, 2), (1, 0), (0.0, 0)])
def test_the_weights_that_epochs_begin_with_are_averaged(start: int | float, first: int) -> None:
    swa, module = StochasticWeightAveraging(0.02, swa_epoch_start=start), made()
    seen = fit(swa, module, 6)
    assert torch.allclose(module.net[0].weight, torch.stack(seen.weights[first:]).mean(0), atol=1e-6)
    assert swa.n_averaged == 6 - first


def test_the_rate_is_annealed() -> None:
    cos = fit(StochasticWeightAveraging(0.02, 2, annealing_epochs=2), made(), 5)
    assert cos.rates == [0.1, 0.1, 0.06, 0.02, 0.02]
    linear = fit(StochasticWeightAveraging([0.02], 2, 4, "linear"), made(), 6)
    assert linear.rates == [0.1, 0.1, 0.08, 0.06, 0.04, 0.02]


def test_the_users_schedule_gives_way() -> None:
    seen = fit(StochasticWeightAveraging(0.02, 3, annealing_epochs=1), made(scheduler=True), 5)
    assert seen.rates == [0.1, 0.09, 0.081, 0.02, 0.02]


def test_an_average_of_ones_own() -> None:
    swa = StochasticWeightAveraging(0.02, 3, avg_fn=lambda average, weights, count: average + weights * count)
    module = made()
    first, second, third = fit(swa, module, 5).weights[2:]
    assert torch.allclose(module.net[0].weight, first + second + 2 * third, atol=1e-5)


def test_statistics_of_batch_norms_are_those_of_the_average() -> None:
    module = made(norm=True)
    fit(StochasticWeightAveraging(0.02, 2), module, 4)
    norm = module.net[2]
    # Batches count alike, whatever their size: 5 of 4 samples, 1 of 2.
    inputs = [module.net[0](batch[0]) for batch in loader()]
    assert torch.allclose(norm.running_mean, torch.stack([x.mean(0) for x in inputs]).mean(0), atol=1e-5)
    assert torch.allclose(norm.running_var, torch.stack([x.var(0) for x in inputs]).mean(0), atol=1e-5)
    assert (int(norm.num_batches_tracked), norm.momentum) == (6, 0.1)


class Noisy(Dataset[list[Tensor]]):
    """Samples that are a little different each time."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> list[Tensor]:
        inputs = torch.full((4,), index / 12) + 0.1 * torch.randn(4)
        return [inputs, inputs.sum().reshape(1)]


def test_that_pass_does_not_depend_on_workers() -> None:
    modules = []
    for workers in (0, 1):
        modules.append(made(norm=True, dropout=0.5))
        trainer = quiet(max_epochs=2, callbacks=[StochasticWeightAveraging(1e-3, 1)])
        trainer.fit(modules[-1], DataLoader(Noisy(), 4, shuffle=True, num_workers=workers))
    assert same(modules[0].state_dict(), modules[1].state_dict())


def test_that_pass_leaves_no_other_trace() -> None:
    class Sent:
        name, version, save_dir = "sent", 0, None

        def __init__(self) -> None:
            self.steps: list[int | None] = []

        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            self.steps.append(step)

    sent = [Sent(), Sent()]
    metrics = []
    for logger, callbacks in zip(sent, ([], [StochasticWeightAveraging(1e-9, 2, 0)]), strict=True):
        trainer = quiet(max_epochs=3, logger=logger, log_every_n_steps=1, callbacks=callbacks)
        module = made(norm=True)
        module.metric = MeanMetric()
        trainer.fit(module, loader())
        metrics.append((set(trainer.callback_metrics), module.metric._update_count))
        assert trainer.global_step == 18
    assert sent[0].steps == sent[1].steps and metrics[0] == metrics[1]


def test_frozen_batch_norms_keep_what_they_have() -> None:
    module = made(norm=True)
    module.net[2].eval().running_mean.fill_(0.3)
    fit(StochasticWeightAveraging(0.02, 2), module, 3)
    assert torch.equal(module.net[2].running_mean, torch.full((8,), 0.3))
    assert not module.net[2].training


def test_only_so_many_batches_as_the_trainer_takes() -> None:
    module = made(norm=True)
    fit(StochasticWeightAveraging(0.02, 2), module, 3, limit_train_batches=2)
    assert int(module.net[2].num_batches_tracked) == 2


def test_a_fit_that_ends_early_keeps_its_weights(caplog: pytest.LogCaptureFixture) -> None:
    class Stop(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.Module) -> None:
            if trainer.current_epoch == 3:
                self.weights = pl_module.net[0].weight.detach().clone()  # type: ignore[index, union-attr]
                trainer.should_stop = True

    stop, module = Stop(), made(norm=True)
    with caplog.at_level(logging.WARNING, "lifecycle"):
        fit(swa := StochasticWeightAveraging(0.02, 2), module, 6, callbacks=[swa, stop])
    assert torch.equal(module.net[0].weight, stop.weights)
    assert "training ended before its last epoch (4 of 6 are done)" in caplog.text


def test_a_fit_without_an_end_averages_too() -> None:
    swa, module = StochasticWeightAveraging(0.02, 2), made()
    seen = fit(swa, module, -1, max_steps=24)
    assert torch.allclose(module.net[0].weight, torch.stack(seen.weights[1:]).mean(0), atol=1e-6)
    with pytest.raises(UsageError, match="this fit has no last epoch"):
        fit(StochasticWeightAveraging(0.02, 0.5), made(), -1, max_steps=24)


def test_a_start_that_is_never_reached_changes_nothing() -> None:
    module, plain = made(norm=True), made(norm=True)
    fit(StochasticWeightAveraging(0.02, 99), module, 2)
    quiet(max_epochs=2).fit(plain, loader())
    assert same(module.state_dict(), plain.state_dict())


@pytest.mark.parametrize("before", [5, 6, 8, 12, 15, 18, 23])
@pytest.mark.parametrize("arguments", [{}, {"norm": True, "dropout": 0.3}, {"norm": True, "scheduler": True}])
def test_a_resumed_fit_ends_with_the_same_average(
    tmp_path: Path, before: int, arguments: dict[str, Any]
) -> None:
    whole, parts = both(
        tmp_path,
        lambda: [StochasticWeightAveraging(0.02, 2, annealing_epochs=2)],
        lambda: made(**arguments),
        before=before,
        max_epochs=4,
    )
    assert differences(whole, parts) == []


def test_a_fit_that_was_killed_at_its_very_end_puts_the_average_in_place(tmp_path: Path) -> None:
    from tests.train.callbacks.disturbed import fit as saving

    def make() -> Network:
        return made(norm=True)

    def average() -> StochasticWeightAveraging:
        return StochasticWeightAveraging(0.02, 2)

    path = tmp_path / "a.ckpt"
    whole = saving(path, [average()], make, max_epochs=3)  # its last checkpoint is from before the average
    again = saving(path, [average()], make, max_epochs=3, resume=True)
    assert differences(whole, again) == []


def test_a_second_fit_begins_a_new_average() -> None:
    swa = StochasticWeightAveraging(0.02, 0.5)
    fit(swa, made(), 6)
    module, fresh = made(), made()
    fit(swa, module, 4)
    fit(StochasticWeightAveraging(0.02, 0.5), fresh, 4)
    assert same(module.state_dict(), fresh.state_dict())
    assert swa.n_averaged == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-0.1,), "expected a float above 0"),
        ((1,), "expected a float above 0"),
        (([],), "expected a float above 0"),
        ((0.1, 0), "epochs are counted from 1"),
        ((0.1, 1.5), r"as a fraction it is 0.0 to 1.0"),
        ((0.1, 0.5, 10, "cosine"), r"annealing_strategy='cosine'\): did you mean 'cos'"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        StochasticWeightAveraging(*arguments)


def test_a_fit_that_it_cannot_average_is_refused() -> None:
    class Two(Network):
        automatic_optimization = False

        def configure_optimizers(self) -> Any:
            return [torch.optim.SGD(self.net[index].parameters(), lr=0.1) for index in (0, 3)]

    with pytest.raises(UsageError, match="one optimizer and one schedule at most, got 2 and 0"):
        fit(StochasticWeightAveraging(0.02), Two(), 2)

    class Manual(Network):
        automatic_optimization = False

    with pytest.raises(UsageError, match="manual optimization does not allow"):
        fit(StochasticWeightAveraging(0.02), Manual(norm=True), 2)
    with pytest.raises(UsageError, match="has 2 learning rates, and the optimizer 1 groups"):
        fit(StochasticWeightAveraging([0.1, 0.2], 1), made(), 2)


def test_a_timer_and_an_average_do_not_disturb_each_other() -> None:
    module = made()
    fit(swa := StochasticWeightAveraging(0.02, 2), module, 3, callbacks=[swa, Timer("01:00:00:00")])
    assert swa.n_averaged == 2 and len(samples()) == 22
