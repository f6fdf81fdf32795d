"""Half-summed torchmetrics objects, taken out of a module and brought back (`train/torchmetric.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchmetrics
from torch import Tensor, nn
from torchmetrics.classification import BinaryPrecision, BinaryRecall

from lifecycle.train.torchmetric import batch_value, is_metric, metric_states, metrics_of, restore_metrics

# What was predicted, and what was wanted.
BATCHES = [
    (torch.tensor([1.0, 0.0, 1.0]), torch.tensor([1, 0, 0])),
    (torch.tensor([1.0, 0.0]), torch.tensor([1, 1])),
    (torch.tensor([1.0, 1.0]), torch.tensor([1, 0])),
]


class Scores(nn.Module):
    """Sums, a list, and two metrics that share their counts."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torchmetrics.MeanMetric()
        self.cat = torchmetrics.CatMetric()
        self.both = torchmetrics.MetricCollection([BinaryPrecision(), BinaryRecall()])

    def see(self, index: int, *, forward: bool = True) -> Scores:
        predicted, wanted = BATCHES[index]
        for metric in (self.mean, self.cat):
            (metric if forward else metric.update)(predicted)
        (self.both if forward else self.both.update)(predicted, wanted)
        return self

    def values(self) -> dict[str, Any]:
        return {
            "mean": float(self.mean.compute()),
            "cat": self.cat.compute().tolist(),
            **{name: float(value) for name, value in self.both.compute().items()},
        }


# By hand: 3 ones of 5; of 3 predicted ones 2 are right, of 3 wanted ones 2 were found.
AFTER_TWO = {
    "mean": 3 / 5,
    "cat": [1.0, 0.0, 1.0, 1.0, 0.0],
    "BinaryPrecision": 2 / 3,
    "BinaryRecall": 2 / 3,
}
# By hand: 5 ones of 7; of 5 predicted ones 3 are right, of 4 wanted ones 3 were found.
AFTER_THREE = {
    "mean": 5 / 7,
    "cat": [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0],
    "BinaryPrecision": 3 / 5,
    "BinaryRecall": 3 / 4,
}


def near(expected: dict[str, Any]) -> dict[str, Any]:
    return {name: pytest.approx(value) for name, value in expected.items()}


@pytest.mark.parametrize("forward", [True, False])
def test_a_new_module_goes_on_where_another_was(tmp_path: Path, forward: bool) -> None:
    begun = Scores().see(0, forward=forward).see(1, forward=forward)
    torch.save(metric_states(begun), tmp_path / "states")
    resumed = Scores()
    restore_metrics(resumed, torch.load(tmp_path / "states", weights_only=True))
    assert resumed.values() == near(AFTER_TWO)
    assert [metric.update_count for _, metric in metrics_of(resumed)] == [2, 2, 2, 2]
    assert resumed.see(2, forward=forward).values() == near(AFTER_THREE)
    assert [metric.update_count for _, metric in metrics_of(resumed)] == [3, 3, 3, 3]


@pytest.mark.parametrize("forward", [True, False])
def test_a_module_goes_back_to_where_it_was(forward: bool) -> None:
    module = Scores().see(0, forward=forward).see(1, forward=forward)
    states = metric_states(module)
    for _ in range(2):  # what was taken out is not changed by those who go on from it
        assert module.see(2, forward=forward).values() == near(AFTER_THREE)
        restore_metrics(module, states)
        assert module.values() == near(AFTER_TWO)


def test_a_module_goes_on_after_a_reset() -> None:
    module = Scores().see(0).see(1)
    states = metric_states(module)
    for _, metric in metrics_of(module):
        metric.reset()
    restore_metrics(module, states)
    assert module.see(2).values() == near(AFTER_THREE)


def test_the_value_of_the_last_batch_comes_back() -> None:
    module = Scores().see(0).see(1)
    resumed = Scores()
    assert batch_value(resumed.mean) is None
    restore_metrics(resumed, metric_states(module))
    value = batch_value(resumed.mean)
    assert value is not None
    assert value.item() == 0.5


def test_a_metric_that_was_only_updated_has_no_value_of_a_batch() -> None:
    assert batch_value(Scores().see(0, forward=False).mean) is None


def test_a_computed_value_is_not_given_again_after_going_back() -> None:
    module = Scores().see(0)
    states = metric_states(module)
    assert module.see(1).values() == near(AFTER_TWO)
    restore_metrics(module, states)
    assert module.values()["mean"] == pytest.approx(2 / 3)


def test_a_metric_that_was_not_saved_stays_as_it_is() -> None:
    module = Scores().see(0).see(1)
    restore_metrics(module, {})
    assert module.values() == near(AFTER_TWO)


def test_what_is_a_metric() -> None:
    module = Scores()
    names = [name for name, _ in metrics_of(module)]
    assert names == ["mean", "cat", "both.BinaryPrecision", "both.BinaryRecall"]
    assert is_metric(module.mean)
    assert not any(is_metric(other) for other in (nn.Linear(1, 1), torch.ones(1), 1.0, None))


def test_torchmetrics_has_the_attributes_relied_on() -> None:
    metric = torchmetrics.MeanMetric()
    assert (metric._update_count, metric._computed, metric._forward_cache) == (0, None, None)
    metric(torch.tensor([1.0, 3.0]))
    assert metric._update_count == 1
    assert isinstance(metric._forward_cache, Tensor)
    assert metric._forward_cache.item() == 2.0
    computed = metric.compute()
    assert metric._computed is computed
    states = {name: float(value) for name, value in metric.metric_state.items()}  # type: ignore[arg-type]
    assert states == {"mean_value": 4.0, "weight": 2.0}
    assert torchmetrics.CatMetric().metric_state == {"value": []}
    assert metric.device == torch.device("cpu")
    # `log_dict` looks for the one, and asks for members by the others.
    collection = torchmetrics.MetricCollection({"a": metric}, prefix="p_")
    assert hasattr(collection, "compute_groups")
    assert [name for name, _ in collection.items(keep_base=False, copy_state=False)] == ["p_a"]
