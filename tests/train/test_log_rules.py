"""Where ``self.log`` may be called, and what it reports there by default: as in Lightning."""

from __future__ import annotations

from typing import Any

import pytest
from torch.optim import SGD
from torch.optim.lr_scheduler import StepLR

import lifecycle as pl
from lifecycle.core.errors import UsageError
from lifecycle.train.log_rules import Levels, levels_of
from tests.train.logged import Logged, Logging, floats, ten
from tests.train.small import quiet

BATCH = [
    *("training_step", "on_train_batch_start", "on_train_batch_end", "on_before_zero_grad"),
    *("on_before_backward", "on_after_backward", "on_before_optimizer_step", "optimizer_step"),
    *("backward", "optimizer_zero_grad", "configure_gradient_clipping"),
]
SCORED_BATCH = [
    f"{prefix}{kind}_{moment}"
    for kind in ("validation", "test")
    for prefix, moment in (("", "step"), ("on_", "batch_start"), ("on_", "batch_end"))
]
EPOCH = [
    f"on_{kind}_{moment}"
    for kind in ("train", "validation", "test")
    for moment in ("start", "epoch_start", "epoch_end")
]
NOWHERE = [
    *("setup", "teardown", "on_fit_start", "on_fit_end", "on_train_end", "on_validation_end", "on_test_end"),
    *("on_sanity_check_start", "on_sanity_check_end", "on_save_checkpoint", "on_load_checkpoint"),
    *("configure_optimizers", "lr_scheduler_step", "train_dataloader", "prepare_data", "configure_model"),
    *("on_validation_model_eval", "on_validation_model_train", "on_validation_model_zero_grad"),
    *("predict_step", "on_predict_start", "on_predict_batch_end", "on_predict_epoch_end"),
]


@pytest.mark.parametrize("hook", [*BATCH, *SCORED_BATCH])
def test_where_single_batches_are_seen_both_can_be_had(hook: str) -> None:
    step_by_default = hook in BATCH
    assert levels_of(hook, "x", None, None) == Levels(on_step=step_by_default, on_epoch=not step_by_default)
    for step, epoch in ((True, True), (True, False), (False, True)):
        assert levels_of(hook, "x", step, epoch) == Levels(on_step=step, on_epoch=epoch)
    with pytest.raises(UsageError) as refused:
        levels_of(hook, "x", False, False)
    assert str(refused.value) == (
        f"self.log('x', on_step=False, on_epoch=False) in {hook} reports nothing: set one of them"
    )


@pytest.mark.parametrize("hook", EPOCH)
def test_around_an_epoch_there_are_no_steps(hook: str) -> None:
    for step in (None, False):
        for epoch in (None, True):
            assert levels_of(hook, "x", step, epoch) == Levels(on_step=False, on_epoch=True)
    for step, epoch in ((True, None), (None, False), (True, True)):
        with pytest.raises(UsageError) as refused:
            levels_of(hook, "x", step, epoch)
        assert str(refused.value) == (
            f"self.log('x', on_step={step}, on_epoch={epoch}) in {hook}: "
            "there are no steps to report; only on_epoch=True is allowed"
        )


@pytest.mark.parametrize("hook", NOWHERE)
def test_elsewhere_nothing_can_be_logged(hook: str) -> None:
    with pytest.raises(UsageError) as refused:
        levels_of(hook, "x", None, None)
    assert str(refused.value) == (
        f"self.log('x', …) in {hook}: nothing is reported from there\n"
        "Log in a step or a hook of batches or epochs; elsewhere use self.logger."
    )


# The same in a run: the right hook is known to be at work when the user's code is.


def logging_in(hook: str, **options: Any) -> type[Logging]:
    """A module that logs how often a hook was called."""

    def call(self: Any, *given: Any, **named: Any) -> Any:
        self.calls += 1
        self.log("calls", float(self.calls), **options)
        return getattr(super(Calling, self), hook)(*given, **named)

    class Calling(Logging):
        calls = 0

    setattr(Calling, hook, call)
    return Calling


class Scheduled(Logging):
    """With a schedule that steps with every batch."""

    def configure_optimizers(self) -> object:
        optimizer = SGD(self.parameters(), lr=0.1)
        return [optimizer], [{"scheduler": StepLR(optimizer, 1), "interval": "step"}]


@pytest.mark.parametrize("hook", BATCH)
def test_a_hook_of_a_training_batch_reports_each_step(hook: str) -> None:
    found = Logged(logging_in(hook)())
    assert [(step, numbers["calls"]) for step, numbers in found.sent] == [(0, 1.0), (1, 2.0), (2, 3.0)]
    forked = Logged(logging_in(hook, on_epoch=True)())
    mean = (4 * 1 + 4 * 2 + 2 * 3) / 10
    assert forked.callback == floats({"calls_step": 3.0, "calls_epoch": mean, "calls": mean})


@pytest.mark.parametrize("hook", [*SCORED_BATCH, *EPOCH])
def test_the_other_hooks_report_the_epoch(hook: str) -> None:
    kind = hook.removeprefix("on_").partition("_")[0]
    verb = "test" if kind == "test" else "fit"
    found = Logged(logging_in(hook)(), verb)
    mean = (4 * 1 + 4 * 2 + 2 * 3) / 10 if hook in SCORED_BATCH else 1.0
    assert found.callback == floats({"calls": mean})
    assert [(step, numbers) for step, numbers in found.sent] == [
        (2 if verb == "fit" else 0, {"calls": pytest.approx(mean), "epoch": 0.0})
    ]


@pytest.mark.parametrize(
    "hook",
    [
        *("setup", "on_fit_start", "on_train_end", "on_validation_end", "on_fit_end", "teardown"),
        *("configure_optimizers", "configure_model", "on_validation_model_eval"),
        *("on_validation_model_train", "on_validation_model_zero_grad", "lr_scheduler_step"),
    ],
)
def test_a_run_refuses_to_log_elsewhere(hook: str) -> None:
    class Both(logging_in(hook), Scheduled):  # type: ignore[misc]
        pass

    with pytest.raises(UsageError, match=r"^self\.log\('calls', …\) "):
        Logged(Both())


def test_a_prediction_reports_nothing() -> None:
    with pytest.raises(UsageError, match=r"^self\.log\('calls', …\) works in steps and hooks"):
        quiet().predict(logging_in("predict_step")(), [next(iter(ten()))[0]])


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        ("on_train_batch_end", [(0, 1.0), (1, 2.0), (2, 3.0)]),
        ("on_train_epoch_end", [(2, 1.0)]),
        ("on_validation_epoch_end", [(2, 1.0)]),
        ("on_validation_batch_end", [(2, pytest.approx((4 * 1 + 4 * 2 + 2 * 3) / 10))]),
    ],
)
def test_callbacks_log_through_the_module_under_the_same_rules(
    hook: str, expected: list[tuple[int, float]]
) -> None:
    def call(self: Any, trainer: pl.Trainer, pl_module: pl.Module, *given: object) -> None:
        self.calls += 1
        pl_module.log("calls", float(self.calls))

    callback = type("Calling", (pl.Callback,), {"calls": 0, hook: call})()
    found = Logged(Logging(), callbacks=[callback])
    assert [(step, numbers["calls"]) for step, numbers in found.sent] == expected


def test_one_name_may_be_logged_in_two_hooks() -> None:
    """Each has its own options; the hook that comes later in a step gives its value the name."""

    class Twice(Logging):
        def on_train_batch_end(self, *given: object) -> None:
            self.log("x", 100.0, on_step=True, on_epoch=True)

    found = Logged(Twice(lambda m, i: m.log("x", float(i), on_step=True, on_epoch=True, prog_bar=True)))
    assert found.callback == floats({"x": 100.0, "x_step": 100.0, "x_epoch": 100.0})
