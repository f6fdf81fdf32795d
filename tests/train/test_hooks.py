"""The order of hooks, written down from PyTorch Lightning 2.6 and compared as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lifecycle as pl
from lifecycle.train.hooks import MODULE_AND_CALLBACK_HOOKS
from tests.train.small import Plain, loader, quiet

# "c" the callback, "m" the module, "d" the data module.
FIT = """
d.prepare_data  d.setup:fit  c.setup:fit  m.setup:fit
m.configure_optimizers
c.on_fit_start  m.on_fit_start
c.on_train_start  m.on_train_start
c.on_train_epoch_start  m.on_train_epoch_start

c.on_train_batch_start:0  m.on_train_batch_start:0
m.training_step:0
c.on_before_zero_grad  m.on_before_zero_grad
c.on_before_backward  m.on_before_backward
c.on_after_backward  m.on_after_backward
c.on_train_batch_end:0  m.on_train_batch_end:0

c.on_train_batch_start:1  m.on_train_batch_start:1
m.training_step:1
c.on_before_backward  m.on_before_backward
c.on_after_backward  m.on_after_backward
c.on_before_optimizer_step  m.on_before_optimizer_step
c.on_train_batch_end:1  m.on_train_batch_end:1

c.on_train_batch_start:2  m.on_train_batch_start:2
m.training_step:2
c.on_before_zero_grad  m.on_before_zero_grad
c.on_before_backward  m.on_before_backward
c.on_after_backward  m.on_after_backward
c.on_before_optimizer_step  m.on_before_optimizer_step
c.on_train_batch_end:2  m.on_train_batch_end:2

c.on_validation_start  m.on_validation_start
c.on_validation_epoch_start  m.on_validation_epoch_start
c.on_validation_batch_start:0  m.on_validation_batch_start:0
m.validation_step:0
c.on_validation_batch_end:0  m.on_validation_batch_end:0
c.on_validation_batch_start:1  m.on_validation_batch_start:1
m.validation_step:1
c.on_validation_batch_end:1  m.on_validation_batch_end:1
c.on_validation_epoch_end  m.on_validation_epoch_end
c.on_validation_end  m.on_validation_end

c.on_train_epoch_end  m.on_train_epoch_end
c.on_train_end  m.on_train_end
c.on_fit_end  m.on_fit_end
d.teardown:fit  c.teardown:fit  m.teardown:fit
"""
EVALUATE = """
d.prepare_data  d.setup:{stage}  c.setup:{stage}  m.setup:{stage}
c.on_{kind}_start  m.on_{kind}_start
c.on_{kind}_epoch_start  m.on_{kind}_epoch_start
c.on_{kind}_batch_start:0  m.on_{kind}_batch_start:0
m.{kind}_step:0
c.on_{kind}_batch_end:0  m.on_{kind}_batch_end:0
c.on_{kind}_batch_start:1  m.on_{kind}_batch_start:1
m.{kind}_step:1
c.on_{kind}_batch_end:1  m.on_{kind}_batch_end:1
c.on_{kind}_epoch_end  m.on_{kind}_epoch_end
c.on_{kind}_end  m.on_{kind}_end
d.teardown:{stage}  c.teardown:{stage}  m.teardown:{stage}
"""
STEPS = ("training_step", "validation_step", "test_step", "predict_step")


def recording(base: type, owner: str, names: tuple[str, ...], record: list[str]) -> type:
    """A subclass whose hooks write down their name, and the stage or index of the batch that they are given."""

    def hook(name: str) -> Callable[..., None]:
        def call(self: object, *given: object) -> None:
            told = [str(argument) for argument in given if isinstance(argument, str | int)]
            record.append(":".join([f"{owner}.{name}", *told]))

        return call

    return type(f"Recording{base.__name__}", (base,), {name: hook(name) for name in names})


@pytest.fixture
def record() -> list[str]:
    return []


@pytest.fixture
def callback(record: list[str]) -> pl.Callback:
    return recording(pl.Callback, "c", MODULE_AND_CALLBACK_HOOKS, record)()  # type: ignore[no-any-return]


@pytest.fixture
def module(record: list[str]) -> pl.Module:
    class Trained(recording(pl.Module, "m", MODULE_AND_CALLBACK_HOOKS + STEPS[1:], record)):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            record.append(f"m.training_step:{batch_idx}")
            return self.layer(batch[0]).sum()  # type: ignore[no-any-return]

        def configure_optimizers(self) -> object:
            record.append("m.configure_optimizers")
            return torch.optim.SGD(self.parameters(), lr=0.1)

    return Trained()


@pytest.fixture
def data(record: list[str]) -> pl.DataModule:
    class Data(recording(pl.DataModule, "d", ("prepare_data", "setup", "teardown"), record)):  # type: ignore[misc]
        def train_dataloader(self) -> object:
            return [[torch.ones(2, 4)]] * 3

        def val_dataloader(self) -> object:
            return [[torch.ones(2, 4)]] * 2

        test_dataloader = predict_dataloader = val_dataloader

    return Data()


def test_a_fit_runs_hooks_in_lightnings_order(
    record: list[str], callback: pl.Callback, module: pl.Module, data: pl.DataModule
) -> None:
    quiet(callbacks=callback, accumulate_grad_batches=2).fit(module, datamodule=data)
    assert record == FIT.split()


def test_every_epoch_runs_them_again(
    record: list[str], callback: pl.Callback, module: pl.Module, data: pl.DataModule
) -> None:
    quiet(callbacks=callback, accumulate_grad_batches=2, max_epochs=3, check_val_every_n_epoch=2).fit(
        module, datamodule=data
    )
    words = FIT.split()
    epoch = words[words.index("c.on_train_epoch_start") : words.index("c.on_train_end")]
    unvalidated = [word for word in epoch if "validation" not in word]
    before, after = words[: words.index("c.on_train_epoch_start")], words[words.index("c.on_train_end") :]
    assert record == [*before, *unvalidated, *epoch, *unvalidated, *after]


@pytest.mark.parametrize(
    ("verb", "kind"), [("validate", "validation"), ("test", "test"), ("predict", "predict")]
)
def test_a_pass_without_training_runs_hooks_in_lightnings_order(
    record: list[str], callback: pl.Callback, module: pl.Module, data: pl.DataModule, verb: str, kind: str
) -> None:
    getattr(quiet(callbacks=callback), verb)(module, datamodule=data)
    assert record == EVALUATE.format(stage=verb, kind=kind).split()


def test_callbacks_run_in_the_order_given_and_those_that_save_end_the_epoch(
    record: list[str], module: pl.Module, data: pl.DataModule
) -> None:
    hooks = ("on_train_epoch_start", "on_train_epoch_end")
    saving = recording(pl.Callback, "saving", hooks, record)
    saving.saves = True  # type: ignore[attr-defined]
    others = [recording(pl.Callback, owner, hooks, record)() for owner in ("first", "second")]
    quiet(callbacks=[saving(), *others]).fit(module, datamodule=data)
    told = [word for word in record if word.endswith(hooks)]
    owners = [word.partition(".")[0] for word in told]
    assert owners == ["saving", "first", "second", "m", "first", "second", "m", "saving"]


def test_a_hook_that_nobody_overrode_is_never_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise AssertionError("called")

    for name in MODULE_AND_CALLBACK_HOOKS:
        monkeypatch.setattr(pl.Callback, name, fail)
        monkeypatch.setattr(pl.Module, name, fail)
    trainer, module = quiet(callbacks=pl.Callback()), Plain()
    trainer.fit(module, loader(), loader())
    trainer.test(module, loader())
    trainer.predict(module, [torch.ones(2, 4)])


def test_a_hook_of_one_instance_is_called() -> None:
    called: list[int] = []
    module = Plain()
    module.on_train_batch_start = lambda batch, batch_idx: called.append(batch_idx)  # type: ignore[method-assign]
    quiet(limit_train_batches=2).fit(module, loader())
    assert called == [0, 1]


class Arguments(pl.Callback):
    """Keeps what it was given."""

    def __init__(self) -> None:
        self.given: dict[str, list[Any]] = {}

    def on_before_backward(self, *given: Any) -> None:
        self.given.setdefault("backward", []).append(given)

    def on_before_optimizer_step(self, *given: Any) -> None:
        self.given.setdefault("step", []).append(given)

    def on_train_batch_end(self, *given: Any) -> None:
        self.given.setdefault("end", []).append(given)

    def on_validation_batch_end(self, *given: Any) -> None:
        self.given.setdefault("validation", []).append(given)


class Outputs(Plain):
    """Steps that return more than a loss."""

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Any:
        loss = self(batch[0]).sum()
        return (loss, {"loss": loss, "size": len(batch[0])}, None)[batch_idx]

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> Any:
        return {"score": batch_idx}


def test_callbacks_are_given_trainer_module_and_what_the_hook_is_about() -> None:
    callback, module = Arguments(), Outputs()
    trainer = quiet(callbacks=callback, limit_train_batches=3, limit_val_batches=1, accumulate_grad_batches=2)
    trainer.fit(module, loader(), loader())
    given = callback.given
    assert all(call[:2] == (trainer, module) for calls in given.values() for call in calls)
    assert all(isinstance(call[2], torch.optim.SGD) for call in given["step"])
    losses = [call[2].detach() for call in given["backward"]]
    outputs = [call[2] for call in given["end"]]
    # As in Lightning: a dictionary with the loss as it was accumulated; empty for a skipped step.
    assert [sorted(output) for output in outputs] == [["loss"], ["loss", "size"], []]
    assert torch.equal(outputs[0]["loss"], losses[0])
    assert torch.equal(outputs[1]["loss"], losses[1])
    assert not outputs[0]["loss"].requires_grad
    assert [call[4] for call in given["end"]] == [0, 1, 2]
    assert torch.equal(given["end"][1][3][0], list(loader())[1][0])
    assert [(call[2], call[4]) for call in given["validation"]] == [({"score": 0}, 0)]
