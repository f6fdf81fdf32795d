"""The order of hooks to the letter, arguments included, as PyTorch Lightning 2.6.6 has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import lifecycle as pl
from lifecycle.train.hooks import MODULE_AND_CALLBACK_HOOKS, Hooks
from tests.train.hook_order import (
    BEGIN,
    CLEAR,
    END,
    FIT_END,
    FIT_START,
    GRADIENTS,
    LOADERS,
    OPTIMIZE,
    SCHEDULE,
    SET_UP,
    STEP,
    TRAIN_START,
    UPDATE,
    WHOLE,
    batch,
    epoch,
    evaluation,
    validation,
)
from tests.train.hook_record import Recorded, expanded
from tests.train.small import Plain, loader, quiet


def test_a_fit() -> None:
    assert Recorded().fit() == expanded(WHOLE)


def test_the_module_may_bring_the_loaders() -> None:
    fitted = WHOLE.replace("d.prepare_data ", "").replace("d.setup(stage=fit) ", "")
    fitted = fitted.replace("d.teardown(stage=fit) ", "").replace("d.", "m.")
    assert Recorded(datamodule=False).fit() == expanded(fitted)


def test_a_fit_after_a_short_validation() -> None:
    start = SET_UP + FIT_START + "c.on_sanity_check_start d.val_dataloader "
    start += evaluation("validation") + "c.on_sanity_check_end d.train_dataloader " + TRAIN_START
    recorded = Recorded(evaluated=3)
    assert recorded.fit(num_sanity_val_steps=1) == expanded(
        start + epoch(0, check=validation(batches=3)) + "cm.on_train_end " + FIT_END
    )


def test_several_epochs_of_which_one_validates() -> None:
    """Loaders to validate with are asked for when they are needed."""
    found = Recorded().fit(max_epochs=3, check_val_every_n_epoch=2)
    validated = validation().replace("m.zero_grad ", "m.zero_grad d.val_dataloader ", 1)
    assert found == expanded(
        SET_UP
        + FIT_START
        + "d.train_dataloader "
        + TRAIN_START
        + epoch(0, check="")
        + epoch(1, check=validated)
        + epoch(2, check="")
        + "cm.on_train_end "
        + FIT_END
    )


def test_validation_within_an_epoch() -> None:
    """A schedule of epochs steps before the last validation."""
    found = "cm.on_train_epoch_start "
    for index in range(5):
        found += batch(0, index, last=index == 4) + (validation() if index in (1, 3) else "")
    found += "cm.on_train_epoch_end cm.on_train_end "
    calls = Recorded(train=5).fit(val_check_interval=2)
    assert calls == expanded(SET_UP + FIT_START + LOADERS + TRAIN_START + found + FIT_END)


def test_accumulated_gradients() -> None:
    """The first batch of a window clears gradients, its last one steps; the last window is shorter."""
    first = BEGIN + STEP + CLEAR + GRADIENTS + END
    second = BEGIN + "m.optimizer_step({e},{i},opt,fn) " + STEP + GRADIENTS + UPDATE + SCHEDULE + END
    third = BEGIN + OPTIMIZE + SCHEDULE * 2 + END
    batches = "".join(
        text.format(e=0, i=index, clip=None, by=None, o="d")
        for index, text in enumerate((first, second, third))
    )
    assert Recorded(train=3).fit(accumulate_grad_batches=2) == expanded(
        SET_UP
        + FIT_START
        + LOADERS
        + TRAIN_START
        + "cm.on_train_epoch_start "
        + batches
        + validation()
        + "cm.on_train_epoch_end cm.on_train_end "
        + FIT_END
    )


def test_clipping_is_told_by_name() -> None:
    calls = Recorded(train=1).fit(gradient_clip_val=0.5, gradient_clip_algorithm="value", limit_val_batches=0)
    told = "m.configure_gradient_clipping(opt,gradient_clip_val=0.5,gradient_clip_algorithm=value)"
    assert [call for call in calls if "clipping" in call] == [told]


def test_manual_optimization() -> None:
    """Clearing gradients, clipping and schedules are the module's own affair."""
    manual = BEGIN + STEP + GRADIENTS + "cm.on_before_optimizer_step(opt) cm.on_train_batch_end({{}},B,{i}) "
    batches = "".join(manual.format(i=index, o="d") for index in range(2))
    assert Recorded(automatic=False).fit() == expanded(
        SET_UP
        + FIT_START
        + LOADERS
        + TRAIN_START
        + "cm.on_train_epoch_start "
        + batches
        + validation()
        + "cm.on_train_epoch_end cm.on_train_end "
        + FIT_END
    )


def test_several_loaders_to_validate_with() -> None:
    found = SET_UP + FIT_START + LOADERS + TRAIN_START
    found += epoch(0, check=validation(batches=2, loaders=2)) + "cm.on_train_end " + FIT_END
    assert Recorded(loaders=2, evaluated=2).fit() == expanded(found)


def test_without_validation() -> None:
    found = SET_UP + FIT_START + "d.train_dataloader " + TRAIN_START + epoch(0, check="") + "cm.on_train_end "
    assert Recorded().fit(limit_val_batches=0, num_sanity_val_steps=2) == expanded(found + FIT_END)


def test_steps_that_end_within_an_epoch() -> None:
    found = SET_UP + FIT_START + LOADERS + TRAIN_START + "cm.on_train_epoch_start "
    found += batch(0, 0, last=False) + "cm.on_train_epoch_end cm.on_train_end " + FIT_END
    assert Recorded().fit(max_epochs=-1, max_steps=1) == expanded(found)


@pytest.mark.parametrize("limit", [{"max_epochs": 0}, {"max_steps": 0}])
def test_nothing_to_train(limit: dict[str, int]) -> None:
    assert Recorded().fit(**limit) == expanded(SET_UP + FIT_START + "d.train_dataloader " + FIT_END)


def test_no_batches_to_train_on() -> None:
    assert Recorded().fit(limit_train_batches=0) == expanded(SET_UP + FIT_START + FIT_END)


def test_loaders_that_are_asked_for_anew() -> None:
    again = validation().replace("m.zero_grad ", "m.zero_grad d.val_dataloader ", 1)
    second = "d.train_dataloader " + epoch(1, check=again)
    assert Recorded().fit(max_epochs=2, reload_dataloaders_every_n_epochs=1) == expanded(
        SET_UP + FIT_START + LOADERS + TRAIN_START + epoch(0) + second + "cm.on_train_end " + FIT_END
    )


@pytest.mark.parametrize("loaders", [1, 2])
@pytest.mark.parametrize("owner", ["d", "m"])
@pytest.mark.parametrize(
    ("verb", "kind", "split"),
    [("validate", "validation", "val"), ("test", "test", "test"), ("predict", "predict", "predict")],
)
def test_a_pass_of_its_own(verb: str, kind: str, split: str, owner: str, loaders: int) -> None:
    recorded = Recorded(loaders=loaders, evaluated=2, datamodule=owner == "d")
    getattr(recorded.trainer(), verb)(recorded.module, datamodule=recorded.data)
    words = "m.configure_callbacks d.prepare_data m.prepare_data "
    words += f"d.setup(stage={verb}) cm.setup(stage={verb}) m.configure_model m.zero_grad "
    words += f"{owner}.{split}_dataloader "
    words += evaluation(kind, batches=2, loaders=loaders, owner=owner, back=kind != "predict")
    words += f"d.teardown(stage={verb}) cm.teardown(stage={verb})"
    told = expanded(words)
    assert recorded.calls == [call for call in told if owner == "d" or not call.startswith("d.")]


# Who is called


def recording(base: type, owner: str, names: tuple[str, ...], record: list[str]) -> Any:
    """A subclass whose hooks write down their owner and name."""

    def hook(name: str) -> Callable[..., None]:
        return lambda *given, **named: record.append(f"{owner}.{name}")

    return type(f"Recording{base.__name__}", (base,), {name: hook(name) for name in names})


def test_callbacks_run_in_the_order_given_except_for_those_that_monitor_or_save() -> None:
    record: list[str] = []
    hooks = ("on_train_epoch_start", "on_train_epoch_end")
    monitoring, saving = (recording(pl.Callback, owner, hooks, record) for owner in ("monitors", "saves"))
    monitoring.monitors = saving.saves = True
    others = [recording(pl.Callback, owner, hooks, record)() for owner in ("first", "second")]
    module = recording(Plain, "module", hooks, record)()
    quiet(callbacks=[saving(), monitoring(), *others], limit_train_batches=1).fit(module, loader())
    assert [call.partition(".")[0] for call in record] == [
        *("monitors", "first", "second", "saves", "module"),
        *("first", "second", "saves", "module", "monitors"),
    ]


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
    options: dict[str, Any] = {"limit_train_batches": 3, "limit_val_batches": 1, "num_sanity_val_steps": 0}
    trainer = quiet(callbacks=callback, accumulate_grad_batches=2, **options)
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


class Told(pl.Callback):
    """Notes the parts of steps."""

    times = True

    def __init__(self) -> None:
        self.parts: list[str] = []

    def phase_begins(self, name: str) -> None:
        self.parts.append(name)

    def phase_ends(self, name: str) -> None:
        self.parts.append(f"/{name}")


def test_a_callback_may_be_told_of_the_parts_of_a_step() -> None:
    told = Told()
    quiet(callbacks=[told], max_steps=2).fit(Plain(), loader(), loader())
    of_a_batch = ["data", "/data", "optimizer", "forward", "/forward", "backward", "/backward", "/optimizer"]
    assert told.parts == 2 * of_a_batch


def test_nothing_is_wrapped_where_nobody_is_told() -> None:
    def step() -> None:
        pass

    batches = iter([1])
    trainer = quiet()
    for others in ([], [pl.Callback()]):
        hooks = Hooks(trainer, Plain(), others)
        assert hooks.phase("forward", step) is step
        assert hooks.reading("read", batches) is batches
