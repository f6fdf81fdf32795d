"""Putting a fit together: data, the short validation, going on, and errors of the first batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import lifecycle as pl
from lifecycle.core.errors import UsageError
from tests.train.course import Course, numbered, run
from tests.train.small import Plain, loader, quiet, same


class Asked(Course):
    """Brings loaders, and notes when it is asked for them."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def train_dataloader(self) -> Any:
        self.asked.append(f"train {self.current_epoch}")
        return numbered(2)

    def val_dataloader(self) -> Any:
        self.asked.append(f"val {self.current_epoch}")
        return numbered(1)


def test_loaders_are_asked_for_when_they_are_needed() -> None:
    module = Asked()
    quiet(max_epochs=3, num_sanity_val_steps=0, check_val_every_n_epoch=2).fit(module)
    assert module.asked == ["train 0", "val 1"]
    module = Asked()
    quiet(max_epochs=3, num_sanity_val_steps=0, limit_val_batches=0).fit(module)
    assert module.asked == ["train 0"]


def test_a_resumed_fit_asks_for_its_loaders_once() -> None:
    quiet(max_epochs=1).fit(module := Asked())
    assert module.trainer is not None
    module.trainer.save_checkpoint("first.ckpt")
    again = Asked()
    options = {"reload_dataloaders_every_n_epochs": 2, "num_sanity_val_steps": 0}
    quiet(max_epochs=4, **options).fit(again, ckpt_path="first.ckpt")
    assert again.asked == ["train 1", "val 1", "train 3", "val 3"]


def test_a_loader_without_batches_validates_nothing() -> None:
    called = []

    class Watch(pl.Callback):
        def on_validation_start(self, *given: Any) -> None:
            called.append(given)

    with pytest.warns(UserWarning, match="the val loader has no batches"):
        course, trainer = run(val=lambda: [], num_sanity_val_steps=2, callbacks=[Watch()])
    assert (course, called, trainer.current_epoch) == ("t0:012345 t1:012345", [], 2)


def test_a_loader_without_batches_trains_nothing() -> None:
    with pytest.warns(UserWarning, match="the train loader has no batches"):
        course, trainer = run(train=lambda: [])
    assert (course, trainer.global_step) == ("", 0)


def test_the_short_validation_leaves_nothing_behind() -> None:
    class Logs(Course):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            super().validation_step(batch, batch_idx, dataloader_idx)
            self.log("v", float(batch_idx), on_step=True, on_epoch=True)

    from tests.train.small import Recorder

    sent = []
    for steps in (0, 2):
        recorder, module = Recorder(), Logs()
        trainer = quiet(logger=recorder, num_sanity_val_steps=steps)
        trainer.fit(module, numbered(2), numbered(3))
        sent.append(recorder.sent)
    assert sent[0] == sent[1]
    assert [step for step, numbers in sent[0] if "v_step" in numbers] == [0, 1, 2]


def test_another_module_may_go_on_where_the_last_one_ended() -> None:
    trainer = quiet(max_epochs=1)
    trainer.fit(Course(), numbered())
    trainer.fit_loop.max_epochs = 2
    module = Course()
    trainer.fit(module, numbered(3))
    assert module.line() == "t1:012"
    assert (trainer.current_epoch, trainer.global_step, trainer.num_training_batches) == (2, 9, 3)
    assert trainer.lightning_module is module


def test_the_same_seed_gives_the_same_fit_twice() -> None:
    def fitted() -> Any:
        pl.seed_everything(3)
        module = Plain()
        quiet(max_epochs=2).fit(module, loader(shuffle=True), loader())
        return dict(module.state_dict())

    assert same(fitted(), fitted())


def test_gradients_from_before_a_fit_are_forgotten() -> None:
    """In manual optimization nobody else would clear them."""

    class Manual(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.found: list[bool] = []

        def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
            self.found.append(self.net[0].weight.grad is None)

    module = Manual()
    module(torch.ones(1, 4)).sum().backward()
    quiet(limit_train_batches=1).fit(module, loader())
    assert module.found == [True]


class Mismatched(Plain):
    """Its first layer takes other inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.net[0] = torch.nn.Linear(5, 8)


@pytest.mark.parametrize("verb", ["fit", "validate"])
def test_an_error_of_the_first_batch_names_the_layer(verb: str) -> None:
    with pytest.raises(UsageError, match=r"net\.0") as explained:
        getattr(quiet(), verb)(Mismatched(), loader())
    assert isinstance(explained.value.__cause__, RuntimeError)


def test_a_later_error_is_what_it_is() -> None:
    class Breaks(Plain):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            if batch_idx == 1:
                return self.net(batch[0][:, :3])  # type: ignore[no-any-return]
            return super().training_step(batch, batch_idx)

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        quiet().fit(Breaks(), loader())


def test_a_step_that_is_missing_is_asked_for() -> None:
    class Unscored(pl.Module):
        pass

    for verb, step in (("validate", "validation_step"), ("test", "test_step")):
        with pytest.raises(UsageError, match=f"^Unscored defines no {step}"):
            getattr(quiet(), verb)(Unscored(), numbered(1))
