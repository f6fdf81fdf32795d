"""What ``self.log`` reports, in all its combinations; expected values are computed by hand from the batches."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

import lifecycle as pl
from lifecycle.core.errors import UsageError
from lifecycle.train.metrics import scalar
from tests.train.logged import MEAN, VALUES, Log, Logged, Logging, floats, logs, ten, value
from tests.train.small import Plain, loader, quiet

# (on_step, on_epoch): what is reported, of each step and of the epoch.
TRAINING = {
    (None, None): (True, False),
    (None, True): (True, True),
    (None, False): (True, False),
    (True, None): (True, False),
    (True, True): (True, True),
    (True, False): (True, False),
    (False, True): (False, True),
}
SCORING = {
    (None, None): (False, True),
    (None, True): (False, True),
    (True, None): (True, True),
    (True, True): (True, True),
    (True, False): (True, False),
    (False, None): (False, True),
    (False, True): (False, True),
}
BAR_AND_LOGGER = list(product((False, True), (None, True, False)))


def names(step: bool, epoch: bool) -> tuple[list[str], list[str]]:
    """The names of a step's value and of the epoch's: they fork when there are both."""
    if step and epoch:
        return ["x_step"], ["x_epoch"]
    return ["x"] * step, ["x"] * epoch


@pytest.mark.parametrize(("given", "reported"), TRAINING.items())
@pytest.mark.parametrize(("bar", "logger"), BAR_AND_LOGGER)
def test_what_a_training_step_reports(
    given: tuple[bool | None, bool | None], reported: tuple[bool, bool], bar: bool, logger: bool | None
) -> None:
    step, epoch = names(*reported)
    found = Logged(
        Logging(logs(on_step=given[0], on_epoch=given[1], prog_bar=bar, logger=logger)), max_epochs=2
    )
    both = dict.fromkeys(step, 6.0) | dict.fromkeys(epoch, MEAN)
    assert found.callback == floats(both | {"x": MEAN if epoch else 6.0})
    assert found.bar == (floats(both) if bar else {})
    assert found.logged == ({} if logger is False else floats(both))
    sent: list[tuple[int, dict[str, float]]] = []
    for number in range(2):
        sent += [
            (3 * number + index, {name: VALUES[index], "epoch": number})
            for index in range(3)
            for name in step
        ]
        sent += [(3 * number + 2, {name: MEAN, "epoch": number}) for name in epoch]
    told = [] if logger is False else sent
    assert [(at, floats(numbers)) for at, numbers in found.sent] == [(at, floats(n)) for at, n in told]


@pytest.mark.parametrize(("given", "reported"), SCORING.items())
@pytest.mark.parametrize(("bar", "logger"), BAR_AND_LOGGER)
@pytest.mark.parametrize("verb", ["fit", "validate", "test"])
def test_what_a_step_that_scores_reports(
    given: tuple[bool | None, bool | None],
    reported: tuple[bool, bool],
    bar: bool,
    logger: bool | None,
    verb: str,
) -> None:
    """Its single steps are counted on their own, over epochs, and callbacks see only the epoch's value."""
    step, epoch = names(*reported)
    score = logs(on_step=given[0], on_epoch=given[1], prog_bar=bar, logger=logger)
    found = Logged(Logging(score=score), verb, max_epochs=2)
    both = dict.fromkeys(step, 6.0) | dict.fromkeys(epoch, MEAN)
    assert found.callback == floats(dict.fromkeys([*epoch, "x"], MEAN) if epoch else {})
    assert found.bar == (floats(both) if bar else {})
    assert found.logged == ({} if logger is False else floats(both))
    sent: list[tuple[int, dict[str, float]]] = []
    for number in range(2 if verb == "fit" else 1):
        sent += [(3 * number + index, {name: VALUES[index]}) for index in range(3) for name in step]
        at = 3 * number + 2 if verb == "fit" else 0
        sent += [(at, {name: MEAN, "epoch": number}) for name in epoch]
    told = [] if logger is False else sent
    assert [(at, floats(numbers)) for at, numbers in found.sent] == [(at, floats(n)) for at, n in told]
    if verb != "fit":
        wanted = floats(dict.fromkeys(epoch, MEAN)) if logger is not False else {}
        assert [floats(metrics) for metrics in found.returned] == [wanted]


@pytest.mark.parametrize(
    ("reduce_fx", "expected"),
    [
        ("mean", MEAN),
        ("avg", MEAN),
        ("MEAN", MEAN),
        (torch.mean, MEAN),
        ("sum", 9.0),
        (torch.sum, 9.0),
        (sum, 9.0),
        ("min", 1.0),
        (torch.min, 1.0),
        (torch.amin, 1.0),
        (min, 1.0),
        ("max", 6.0),
        (torch.max, 6.0),
        (torch.amax, 6.0),
        (max, 6.0),
    ],
)
def test_how_an_epoch_is_reduced(reduce_fx: Any, expected: float) -> None:
    log = logs(on_step=True, on_epoch=True, reduce_fx=reduce_fx)
    wanted = {"x_epoch": expected, "x": expected}
    assert Logged(Logging(log)).callback == floats({"x_step": 6.0, **wanted})
    assert Logged(Logging(score=log)).callback == floats(wanted)


@pytest.mark.parametrize(
    ("size", "mean"),
    [
        (None, (4 * 1 + 4 * 2 + 2 * 6) / 10),
        (lambda index: 1, (1 + 2 + 6) / 3),
        (lambda index: 7, (1 + 2 + 6) / 3),
        (lambda index: index + 1, (1 * 1 + 2 * 2 + 3 * 6) / 6),
    ],
)
def test_a_mean_is_weighted_by_the_size_of_batches(size: Callable[[int], int] | None, mean: float) -> None:
    def log(module: Any, index: int) -> None:
        of_batch = None if size is None else size(index)
        module.log("mean", value(index), on_step=False, on_epoch=True, batch_size=of_batch)
        module.log("sum", value(index), on_step=False, on_epoch=True, batch_size=of_batch, reduce_fx="sum")

    found = floats({"mean": mean, "sum": 9.0})
    assert Logged(Logging(log)).callback == found
    assert Logged(Logging(score=log), "test").returned == [found]


def test_an_epochs_values_are_its_own() -> None:
    found = Logged(
        Logging(lambda m, i: m.log("x", m.current_epoch, on_step=False, on_epoch=True)), max_epochs=3
    )
    assert [(step, numbers["x"]) for step, numbers in found.sent] == [(2, 0.0), (5, 1.0), (8, 2.0)]


def test_a_value_of_some_steps_stays_until_there_is_another() -> None:
    def log(module: Any, index: int) -> None:
        module.log("every", float(index))
        if index == 1 and module.current_epoch == 0:
            module.log("once", 8.0, on_step=True, on_epoch=True)

    found = Logged(Logging(log), max_epochs=2)
    assert found.callback == floats({"every": 2.0, "once": 8.0, "once_step": 8.0, "once_epoch": 8.0})
    sent = [sorted(numbers) for _, numbers in found.sent]
    plain, forked = ["epoch", "every"], ["epoch", "every", "once_step"]
    assert sent == [plain, forked, forked, ["epoch", "once_epoch"], plain, plain, plain]


def test_a_name_may_be_logged_several_times_in_a_step() -> None:
    """The last value counts for the step, all of them for the epoch."""

    def log(module: Any, index: int) -> None:
        module.log("x", 1.0, on_epoch=True, batch_size=1)
        module.log("x", 4.0, on_epoch=True, batch_size=2)

    assert Logged(Logging(log)).callback == floats({"x_step": 4.0, "x_epoch": 3.0, "x": 3.0})


def test_training_and_validation_may_use_one_name() -> None:
    found = Logged(Logging(logs(on_step=False, on_epoch=True), lambda m, i: m.log("x", 7.0)))
    assert [(step, numbers["x"]) for step, numbers in found.sent] == [(2, 7.0), (2, pytest.approx(MEAN))]
    assert found.callback == floats({"x": MEAN})  # the epoch of training ends last


def test_log_dict_reports_each_entry_alike() -> None:
    def log(module: Any, index: int) -> None:
        module.log_dict({"a": VALUES[index], "b": 1}, on_step=False, on_epoch=True, reduce_fx="sum")

    assert Logged(Logging(log)).callback == floats({"a": 9.0, "b": 3.0})
    assert Logged(Logging(lambda m, i: m.log_dict({"a": 1.0}, True))).bar == floats({"a": 1.0})


# Several loaders


@pytest.mark.parametrize("verb", ["fit", "validate", "test"])
def test_with_several_loaders_names_hold_their_index(verb: str) -> None:
    def log(module: Any, index: int, which: int) -> None:
        module.log("x", value(index) + which, on_step=True, on_epoch=True)

    found = Logged(Logging(score=log), verb, loaders=2)
    reduced = {"x_epoch/dataloader_idx_0": MEAN, "x_epoch/dataloader_idx_1": MEAN + 1}
    plain = {"x/dataloader_idx_0": MEAN, "x/dataloader_idx_1": MEAN + 1}
    assert found.callback == floats(reduced | plain)
    # The steps of each loader are counted on their own.
    steps = [
        (index, {f"x_step/dataloader_idx_{which}": VALUES[index] + which})
        for which in range(2)
        for index in range(3)
    ]
    at = 2 if verb == "fit" else 0
    assert [(step, floats(numbers)) for step, numbers in found.sent] == [
        *((step, floats(numbers)) for step, numbers in steps),
        (at, floats({**reduced, "epoch": 0.0})),
    ]
    if verb != "fit":
        first, second = (floats({name: number}) for name, number in reduced.items())
        assert found.returned == [first, second]


def test_the_index_can_be_left_out_for_names_that_differ() -> None:
    def log(module: Any, index: int, which: int) -> None:
        module.log(("first", "second")[which], value(index) + which, add_dataloader_idx=False)

    found = Logged(Logging(score=log), "validate", loaders=2)
    assert found.returned == [floats({"first": MEAN}), floats({"second": MEAN + 1})]


def test_a_name_cannot_stand_for_two_loaders() -> None:
    score = logs(add_dataloader_idx=False)
    with pytest.raises(UsageError) as refused:
        Logged(Logging(score=score), "test", loaders=2)
    assert str(refused.value) == (
        "self.log('x', add_dataloader_idx=False) in test_step is called for two loaders: "
        "one would take the other's place\n"
        "Put the loader into the name, or leave add_dataloader_idx out."
    )


def test_what_is_logged_around_the_loaders_belongs_to_all() -> None:
    class Around(Logging):
        def on_validation_epoch_start(self) -> None:
            self.log("before", 1.0)

        def on_validation_epoch_end(self) -> None:
            self.log("after", 2.0)

    found = Logged(Around(score=lambda m, i, which: m.log("x", float(which))), "validate", loaders=2)
    around = {"before": 1.0, "after": 2.0}
    assert found.returned == [floats({f"x/dataloader_idx_{which}": which, **around}) for which in range(2)]


# Values


@pytest.mark.parametrize(
    "given",
    [2, 2.0, np.float32(2), torch.tensor([[2.0]]), torch.tensor(2), torch.tensor(2.0).half()],
)
def test_a_number_is_a_tensor_of_one_element(given: Any) -> None:
    taken = scalar("x", given)
    assert taken.shape == ()
    assert taken.dtype == torch.float32
    assert float(taken) == 2.0
    assert scalar("x", True) == 1.0


def test_double_precision_stays() -> None:
    third = torch.tensor(1 / 3, dtype=torch.float64)
    found = Logged(Logging(lambda m, i: m.log("x", third, on_step=False, on_epoch=True)))
    assert found.trainer.callback_metrics["x"].dtype == torch.float64
    assert float(found.trainer.callback_metrics["x"]) == pytest.approx(1 / 3, rel=1e-15)


def test_values_do_not_keep_the_graph_unless_asked_to() -> None:
    for keep in (False, True):
        found = Logged(Logging(lambda m, i, k=keep: m.log("x", m.net[0].weight.sum(), enable_graph=k)))
        assert found.trainer.callback_metrics["x"].requires_grad is keep


def test_a_value_that_is_changed_in_place_later_is_logged_as_it_was() -> None:
    running = torch.zeros(())

    def log(module: Any, index: int) -> None:
        module.log("x", running, on_step=True, on_epoch=True)
        running.add_(1.0)

    found = Logged(Logging(log))
    assert [numbers["x_step"] for _, numbers in found.sent[:3]] == [0.0, 1.0, 2.0]
    assert found.callback["x_epoch"] == (4 * 0 + 4 * 1 + 2 * 2) / 10


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (
            lambda m, i: m.log("x", torch.zeros(2)),
            "self.log('x', …) takes one number, got a tensor of shape [2]\n"
            "For example: self.log('x', value.mean())",
        ),
        (
            lambda m, i: m.log("x", "high"),
            "self.log('x', …) takes a number, a tensor of one element or a metric, got str",
        ),
        (
            lambda m, i: m.log("x", {"a": 1.0}),
            "self.log('x', …) takes a number, a tensor of one element or a metric, got dict",
        ),
        (
            lambda m, i: m.log("x", None),
            "self.log('x', …) takes a number, a tensor of one element or a metric, got NoneType",
        ),
        (
            lambda m, i: m.log("x", 1.0, on_epoch=True, reduce_fx="median"),
            "self.log('x', reduce_fx='median'): allowed: mean, sum, min, max",
        ),
        (
            lambda m, i: m.log("x/dataloader_idx_0", 1.0),
            "self.log('x/dataloader_idx_0', …): the loader's index is added by the trainer; leave it out of the "
            "name, or pass add_dataloader_idx=False",
        ),
        (
            lambda m, i: m.log("x", 1.0, prog_bar=i > 0),
            "self.log('x', …) is called twice in training_step with different arguments: "
            "LogOptions(prog_bar=False, logger=None, on_step=None, on_epoch=None, reduce_fx='mean', "
            "enable_graph=False, sync_dist=False, add_dataloader_idx=True) and "
            "LogOptions(prog_bar=True, logger=None, on_step=None, on_epoch=None, reduce_fx='mean', "
            "enable_graph=False, sync_dist=False, add_dataloader_idx=True)\n"
            "Give the second a name of its own, or the same arguments.",
        ),
    ],
)
def test_what_cannot_be_reported_is_refused(log: Log, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        Logged(Logging(log))
    assert str(refused.value) == message


def test_outside_of_a_loop_there_is_nobody_to_report_to() -> None:
    module = Plain()
    with pytest.warns(UserWarning, match=r"^self.log\('x', …\) has nowhere to go: the module belongs to no"):
        module.log("x", 1.0)
    quiet(limit_train_batches=1).fit(module, loader())
    outside = r"^self.log\('x', …\) works in steps and hooks that a Trainer runs, not outside of them$"
    with pytest.raises(UsageError, match=outside):
        module.log("x", 1.0)


def test_barebones_reports_nothing_and_says_so() -> None:
    trainer = pl.Trainer(barebones=True, max_epochs=1)
    with pytest.warns(UserWarning, match=r"^self.log\('[xv]', …\) does nothing: Trainer\(barebones=True\)$"):
        trainer.fit(Logging(logs(), logs("v")), ten(), ten())
    assert not trainer.callback_metrics
