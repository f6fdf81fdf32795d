from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lifecycle.train.metrics import Logbook
from lifecycle.train.pooling import mean_gradients, merged, pool
from lifecycle.train.restoring import part_of_rank
from lifecycle.train.strategies import DDPStrategy, SingleDeviceStrategy, World

OPTIONS = (False, None, False, True, "mean", False, False, True)


def book(*values: tuple[str, float, int]) -> Logbook:
    """What a process has logged: name, value, samples."""
    found = Logbook(hook="training_step")
    for name, value, size in values:
        options = (*OPTIONS[:4], name if name in ("sum", "min", "max") else "mean", *OPTIONS[5:])
        found.log(name, value, options, size)
    return found


def values(found: Logbook) -> dict[str, float]:
    return {name: float(value) for _, name, value in found.epoch_values()}


def test_values_are_put_together_as_they_are_reduced() -> None:
    first = book(("loss", 1.0, 3), ("sum", 2.0, 1), ("min", 5.0, 1), ("only_first", 7.0, 1))
    second = book(("loss", 5.0, 1), ("sum", 3.0, 1), ("min", 4.0, 1), ("only_second", 8.0, 1))
    states = [each.state_dict({}) for each in (first, second)]
    for each in (first, second):
        pool(each, {}, lambda _: states)
        assert values(each) == {"loss": 2.0, "sum": 5.0, "min": 4.0, "only_first": 7.0, "only_second": 8.0}
    first.log("loss", 1.0, OPTIONS, 1)  # what is logged later counts on top of this process's own
    assert values(first)["loss"] == 1.0


def test_a_fit_of_another_number_of_processes_begins_with_the_sums_of_all() -> None:
    first, second = book(("loss", 1.0, 3), ("max", 5.0, 1)), book(("loss", 5.0, 1), ("max", 9.0, 1))
    found = Logbook()
    found.load_state_dict(merged([first.state_dict({}), second.state_dict({})]), {})
    assert values(found) == {"loss": 2.0, "max": 9.0}


def _own(loss: float, gradient: float, **more: Any) -> dict[str, Any]:
    return {
        "logbook": book(("loss", loss, 1)).state_dict({}),
        "metrics": {},
        "gradients": {"weight": torch.tensor([gradient])},
        "data": loss,
        "state": {"epoch_done": False},
        **more,
    }


@pytest.mark.parametrize("rank", [0, 1])
def test_as_many_processes_take_back_what_each_had(rank: int) -> None:
    own, other = _own(1.0, 2.0), _own(3.0, 4.0)
    strategy = DDPStrategy()
    strategy.world = World(rank=rank, size=2)
    found = part_of_rank({**own, "ranks": [other]}, strategy)
    assert found == {name: (own, other)[rank][name] for name in ("logbook", "metrics", "gradients", "data")}


def test_one_process_takes_all() -> None:
    own, other = _own(1.0, 2.0), _own(3.0, 4.0)
    found = part_of_rank({**own, "ranks": [other]}, SingleDeviceStrategy())
    taken = Logbook()
    taken.load_state_dict(found["logbook"], {})
    assert values(taken) == {"loss": 2.0}
    assert found["gradients"]["weight"].tolist() == [3.0]  # as of one process with the samples of both
    assert found["data"] == 1.0


def test_gradients_that_wait_in_some_processes_only_are_averaged_over_all() -> None:
    ranks: list[dict[str, Tensor]] = [{"a": torch.tensor([2.0])}, {}]
    assert mean_gradients(ranks)["a"].tolist() == [1.0]
