"""torchmetrics objects and collections in ``self.log``, with real ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torchmetrics import (
    MaxMetric,
    MeanAbsoluteError,
    MeanMetric,
    MeanSquaredError,
    Metric,
    MetricCollection,
    SumMetric,
)
from torchmetrics.classification import MulticlassAccuracy

import lifecycle as pl
from lifecycle.core.errors import UsageError
from lifecycle.train.torchmetric import is_metric, metric_states, metrics_of, restore_metrics
from tests.train.logged import VALUES, Logged, Logging, floats, ten, value
from tests.train.small import Plain, quiet

# Each batch is one update, so a metric's own mean knows nothing of batch sizes.
PLAIN_MEAN = sum(VALUES) / 3
Made = Callable[[], Any]


class Measured(Logging):
    """With torchmetrics objects of its own."""

    def __init__(self, train: Any = None, score: Any = None, make: Made = MeanMetric) -> None:
        super().__init__(train, score)
        self.first, self.second = make(), make()


def called(module: Any, index: int, **options: Any) -> None:
    """The usual way: call the metric, log the object."""
    module.first(value(index))
    module.log("m", module.first, **options)


def updated(module: Any, index: int, **options: Any) -> None:
    """Without a value for the batch."""
    module.first.update(value(index))
    module.log("m", module.first, **options)


BATCHES = [(at, {"m": VALUES[at % 3]}) for at in range(6)]
STEPS = [(at, {"m_step": VALUES[at % 3]}) for at in range(6)]
EPOCHS = [(at, {"m_epoch": PLAIN_MEAN}) for at in (2, 5)]
ALONE = [(at, {"m": PLAIN_MEAN}) for at in (2, 5)]
FORKED = [*STEPS[:3], EPOCHS[0], *STEPS[3:], EPOCHS[1]]


@pytest.mark.parametrize(
    ("log", "options", "sent"),
    [
        (called, {}, BATCHES),
        (called, {"on_step": True}, BATCHES),
        (called, {"on_epoch": True}, FORKED),
        (called, {"on_step": True, "on_epoch": True}, FORKED),
        (called, {"on_step": False, "on_epoch": True}, ALONE),
        (updated, {}, []),  # one that is only updated has no value for a batch
        (updated, {"on_epoch": True}, EPOCHS),
        (updated, {"on_step": False, "on_epoch": True}, ALONE),
    ],
)
def test_a_metric_reports_its_batch_and_its_epoch(
    log: Any, options: Any, sent: list[tuple[int, dict[str, float]]]
) -> None:
    found = Logged(Measured(lambda m, i: log(m, i, **options)), max_epochs=2)
    numbers = [(at, {name: n for name, n in of.items() if name != "epoch"}) for at, of in found.sent]
    assert [(at, floats(of)) for at, of in numbers] == [(at, floats(of)) for at, of in sent]
    last = {name: number for _, of in sent for name, number in of.items()}
    assert found.logged == floats(last)
    known = {"m": last.get("m_epoch", last.get("m"))} if sent else {}
    assert found.callback == floats(last | known)


def test_a_metric_of_validation_reports_the_epoch_and_begins_anew() -> None:
    found = Logged(Measured(score=called), max_epochs=2)
    assert [(at, numbers["m"]) for at, numbers in found.sent] == [
        (2, pytest.approx(PLAIN_MEAN)),
        (5, pytest.approx(PLAIN_MEAN)),
    ]
    module: Any = found.trainer.lightning_module
    assert module.first.update_called is False


def test_a_metric_is_reset_when_the_epoch_ends_and_not_before() -> None:
    counts: list[int] = []

    class Counting(Measured):
        def on_train_epoch_end(self) -> None:
            counts.append(self.first._update_count)

        def on_train_epoch_start(self) -> None:
            counts.append(self.first._update_count)

    Logged(
        Counting(lambda m, i: called(m, i, on_step=False, on_epoch=True)), max_epochs=2, val_check_interval=1
    )
    assert counts == [0, 3, 0, 3]


def test_one_that_is_not_logged_is_left_alone() -> None:
    found = Logged(Measured(lambda m, i: m.first.update(value(i)) or None), max_epochs=2)
    module: Any = found.trainer.lightning_module
    assert module.first._update_count == 6


def test_a_metric_can_be_logged_when_the_epoch_ends() -> None:
    class Ends(Measured):
        def on_train_epoch_end(self) -> None:
            self.log("object", self.first)
            self.log("number", self.second.compute())
            self.second.reset()

    def both(module: Any, index: int) -> None:
        module.first.update(value(index))
        module.second.update(value(index))

    found = Logged(Ends(both), max_epochs=2)
    assert found.sent == [
        (
            at,
            {
                "object": pytest.approx(PLAIN_MEAN),
                "number": pytest.approx(PLAIN_MEAN),
                "epoch": float(at > 2),
            },
        )
        for at in (2, 5)
    ]


def test_what_a_call_gave_is_a_number_like_others() -> None:
    """Its mean is weighted by batches, not the metric's own."""
    found = Logged(Measured(lambda m, i: m.log("m", m.first(value(i)), on_step=False, on_epoch=True)))
    assert found.callback == floats({"m": (4 * 1 + 4 * 2 + 2 * 6) / 10})


def test_a_metric_that_is_logged_before_it_is_called_reports_the_batch_at_work() -> None:
    """Lightning reports the batch before it."""

    def log(module: Any, index: int) -> None:
        module.log("m", module.first)
        module.first(value(index))

    assert [numbers["m"] for _, numbers in Logged(Measured(log)).sent] == list(VALUES)


def test_other_metrics_reduce_in_their_own_way() -> None:
    log = {"on_step": False, "on_epoch": True}
    for make, expected in ((SumMetric, 9.0), (MaxMetric, 6.0)):
        found = Logged(Measured(lambda m, i: called(m, i, **log), make=make))
        assert found.callback == floats({"m": expected})


@pytest.mark.parametrize("way", ["call", "update"])
@pytest.mark.parametrize("where", ["train", "score"])
def test_a_collection_is_logged_by_its_names(way: str, where: str) -> None:
    def make() -> MetricCollection:
        parts: Any = {"mean": MeanMetric(), "sum": SumMetric()}
        return MetricCollection(parts, prefix="p_", postfix="_s")

    def log(module: Any, index: int) -> None:
        (module.first if way == "call" else module.first.update)(value(index))
        module.log_dict(module.first, on_step=False, on_epoch=True)

    found = Logged(Measured(**{where: log}, make=make), max_epochs=2)
    expected = {"p_mean_s": PLAIN_MEAN, "p_sum_s": 9.0}
    assert [(at, floats(numbers)) for at, numbers in found.sent] == [
        (at, floats({**expected, "epoch": number})) for number, at in enumerate((2, 5))
    ]


def test_metrics_of_a_collection_may_share_their_state() -> None:
    """Groups of metrics that compute from the same sums are updated once."""

    def log(module: Any, index: int) -> None:
        module.first(torch.tensor([0.0, 0.0]), torch.tensor([1.0, float(index)]))
        module.log_dict(module.first, on_step=False, on_epoch=True)

    def make() -> MetricCollection:
        return MetricCollection(
            [MeanSquaredError(), MeanSquaredError(squared=False), MeanAbsoluteError()][::2]
        )

    # Errors: 1, 0; 1, 1; 1, 2.
    found = Logged(Measured(log, make=make))
    assert found.callback == floats({"MeanSquaredError": 8 / 6, "MeanAbsoluteError": 1.0})


def test_with_several_loaders_each_has_a_metric() -> None:
    def log(module: Any, index: int, which: int) -> None:
        metric = (module.first, module.second)[which]
        metric.update(value(index) + which)
        module.log("m", metric)

    found = Logged(Measured(score=log), "test", loaders=2)
    assert found.returned == [
        floats({"m/dataloader_idx_0": PLAIN_MEAN}),
        floats({"m/dataloader_idx_1": PLAIN_MEAN + 1}),
    ]


def test_a_metric_need_not_be_an_attribute() -> None:
    """Lightning wants it to be one, or to be told its name."""
    outside = MeanMetric()

    def log(module: Any, index: int) -> None:
        outside(value(index))
        module.log("m", outside, on_step=False, on_epoch=True, metric_attribute="outside")

    assert Logged(Measured(log)).callback == floats({"m": PLAIN_MEAN})


class Pair(Metric):
    """Computes no single number."""

    total: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0))

    def update(self, number: torch.Tensor) -> None:
        self.total += number

    def compute(self) -> dict[str, torch.Tensor]:
        return {"one": self.total, "two": 2 * self.total}


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: MulticlassAccuracy(num_classes=3, average=None),
            "MulticlassAccuracy computes a tensor of shape [3]",
        ),
        (Pair, "Pair computes dict"),
    ],
)
def test_a_metric_that_computes_several_numbers_is_refused(make: Made, told: str) -> None:
    def log(module: Any, index: int) -> None:
        if isinstance(module.first, Pair):
            module.first.update(value(index))
        else:
            module.first.update(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 1]))
        module.log("m", module.first, on_step=False, on_epoch=True)

    with pytest.raises(UsageError) as refused:
        Logged(Measured(log, make=make))
    assert str(refused.value) == (
        f"self.log('m', …): {told}, not one number\n"
        "Log the numbers in it, each under a name of its own: self.log_dict({...})"
    )


def test_metrics_move_and_are_saved_apart_from_weights() -> None:
    module = Measured()
    module.first.update(torch.tensor(3.0))
    assert not any("first" in name for name in module.state_dict())
    assert [name for name, _ in metrics_of(module)] == ["first", "second"]
    assert is_metric(module.first) and not is_metric(3.0)


def test_states_are_taken_back_with_their_counts_and_last_values() -> None:
    module, other = Measured(), Measured()
    for number in VALUES:
        module.first(torch.tensor(number))
    other.first(torch.tensor(99.0))
    restore_metrics(other, metric_states(module))
    assert float(other.first.compute()) == pytest.approx(PLAIN_MEAN)
    assert other.first._update_count == 3
    assert float(other.first._forward_cache) == VALUES[-1]
    other.first(torch.tensor(0.0))
    assert float(other.first.compute()) == pytest.approx(sum(VALUES) / 4)
    assert float(module.first.compute()) == pytest.approx(PLAIN_MEAN)  # a state of its own


def test_a_resumed_epoch_goes_on_with_half_summed_metrics() -> None:
    """From a checkpoint made after the first batch."""

    class Saves(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *given: Any) -> None:
            if trainer.global_step == 1:
                trainer.save_checkpoint("within.ckpt")

    def fit(ckpt_path: str | None, *callbacks: pl.Callback) -> dict[str, Any]:
        trainer = quiet(callbacks=list(callbacks), num_sanity_val_steps=0)
        module = Measured(lambda m, i: called(m, i, on_step=True, on_epoch=True))
        trainer.fit(module, ten(), ckpt_path=ckpt_path)
        return floats(trainer.callback_metrics)

    whole = fit(None, Saves())
    assert whole == floats({"m": PLAIN_MEAN, "m_epoch": PLAIN_MEAN, "m_step": VALUES[-1]})
    assert fit("within.ckpt") == whole


def test_a_metric_that_was_never_updated_warns_as_torchmetrics_does() -> None:
    with pytest.warns(UserWarning, match="was called before the ``update`` method"):
        Logged(Measured(lambda m, i: m.log("m", m.first, on_step=False, on_epoch=True)))


def test_without_metrics_there_is_nothing_to_keep() -> None:
    assert metric_states(Plain()) == {}
    restore_metrics(Plain(), {"gone": {"state": {}, "count": 1, "last": None}})
