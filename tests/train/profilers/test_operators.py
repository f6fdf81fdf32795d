from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lifecycle.core.errors import UsageError
from lifecycle.train.profilers import PyTorchProfiler


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.linear(x))  # type: ignore[no-any-return]


def step(profiler: PyTorchProfiler, kind: str, work: Callable[[], object]) -> None:
    with profiler.profile(f"[LightningModule]Net.{kind}"):
        work()
    with profiler.profile("after"):
        torch.sigmoid(torch.ones(3))


def counts(profiler: PyTorchProfiler, kind: str) -> dict[str, int]:
    profiler.summary()
    averages = profiler.function_events[kind].key_averages()  # type: ignore[no-untyped-call]
    return {event.key: event.count for event in averages}


def work(module: nn.Module, number: int) -> None:
    """The module once, and tanh 1, 2, 4, … times: which steps were seen shows in the sum."""
    module(torch.ones(1, 4))
    for _ in range(2**number):
        torch.tanh(torch.ones(1))


def run(profiler: PyTorchProfiler, kinds: list[str], module: nn.Module | None = None) -> PyTorchProfiler:
    net = module or Net()
    numbers: dict[str, int] = {}
    profiler.setup("fit")
    profiler.watch(net)
    for kind in kinds:
        numbers[kind] = numbers.get(kind, -1) + 1
        step(profiler, kind, partial(work, net, numbers[kind]))
    return profiler


TRAIN, VAL = "training_step", "validation_step"


@pytest.mark.parametrize(("steps", "seen"), [(1, 1), (2, 3), (3, 4), (4, 12), (5, 28), (6, 28)])
def test_by_default_it_settles_and_then_records_three_steps(steps: int, seen: int) -> None:
    profiler = run(PyTorchProfiler(), [TRAIN] * steps)
    assert counts(profiler, TRAIN)["aten::tanh"] == seen


def test_a_step_lasts_until_the_next_begins() -> None:
    found = counts(run(PyTorchProfiler(), [TRAIN] * 2), TRAIN)
    assert found["[pl][profile]after"] == found["aten::sigmoid"] == 2


def test_a_step_begins_with_the_outermost_action_that_marks_it() -> None:
    profiler = PyTorchProfiler()
    profiler.setup("fit")
    for number in range(5):
        with profiler.profile("run_training_batch"):
            torch.relu(torch.ones(1))
            step(profiler, TRAIN, partial(work, Net(), number))
    found = counts(profiler, TRAIN)
    assert (found["aten::tanh"], found["aten::relu"]) == (4 + 8 + 16, 3)


def test_kinds_of_steps_are_counted_for_themselves() -> None:
    profiler = run(PyTorchProfiler(), [VAL, VAL, TRAIN, TRAIN, TRAIN, VAL, TRAIN, TRAIN])
    assert counts(profiler, VAL)["aten::tanh"] == 4  # the third
    assert counts(profiler, TRAIN)["aten::tanh"] == 8 + 16  # the fourth and fifth, after a validation


def test_parts_and_actions_have_names() -> None:
    net = Net()
    found = counts(run(PyTorchProfiler(), [TRAIN] * 2, net), TRAIN)
    assert found["[pl][module]torch.nn.modules.linear.Linear: linear"] == 4
    assert found["[pl][profile][LightningModule]Net.training_step"] == 2
    profiler = run(PyTorchProfiler(record_module_names=False), [TRAIN] * 2, net)
    assert not any("[pl][module]" in name for name in counts(profiler, TRAIN))


def test_a_schedule_says_which_steps() -> None:
    profiler = PyTorchProfiler(schedule=torch.profiler.schedule(wait=0, warmup=1, active=1, repeat=2))
    assert counts(run(profiler, [TRAIN] * 5), TRAIN)["aten::tanh"] == 8  # the second time, step 3


def test_without_a_schedule_everything_is_recorded() -> None:
    profiler = run(PyTorchProfiler(schedule=None), [VAL, TRAIN, TRAIN])
    assert counts(profiler, "all")["aten::tanh"] == 4


def test_traces_are_written(tmp_path: Path) -> None:
    profiler = run(PyTorchProfiler(tmp_path, filename="ops"), [TRAIN] * 5)
    profiler.describe()
    first, second = sorted(tmp_path.glob("fit-ops-training_step.*.pt.trace.json"))
    names = {event.get("name") for event in json.loads(second.read_text())["traceEvents"]}
    assert {"aten::tanh", "[pl][profile]after"} <= names
    assert "aten::tanh" in first.read_text()
    assert "aten::tanh" in (tmp_path / "fit-ops.txt").read_text()


def test_traces_are_written_only_if_wanted(tmp_path: Path) -> None:
    run(PyTorchProfiler(tmp_path, export_to_chrome=False), [TRAIN] * 2).describe()
    assert list(tmp_path.iterdir()) == []


def test_whoever_wants_the_trace_gets_it(tmp_path: Path) -> None:
    given: list[object] = []
    run(PyTorchProfiler(tmp_path, on_trace_ready=given.append), [TRAIN] * 5).describe()
    assert [type(trace) for trace in given] == [torch.profiler.profile] * 2
    assert list(tmp_path.iterdir()) == []


def test_stacks_are_written_for_flame_graphs(tmp_path: Path) -> None:
    profiler = PyTorchProfiler(tmp_path, export_to_chrome=False, export_to_flame_graph=True)
    run(profiler, [TRAIN] * 2).describe()
    assert "test_operators.py" in (tmp_path / "fit-training_step.stack").read_text()


def test_the_report_is_sorted_and_cut_as_told() -> None:
    profiler = PyTorchProfiler(sort_by_key="count", row_limit=1)
    profiler.setup("fit")
    ones = torch.ones(1)
    step(profiler, TRAIN, lambda: [torch.tanh(ones) for _ in range(20)])
    rows = [line for line in profiler.summary().splitlines() if "aten::" in line or "[pl]" in line]
    assert len(rows) == 1
    assert "aten::tanh" in rows[0]


def test_calls_are_told_apart_by_their_shapes() -> None:
    profiler = PyTorchProfiler(group_by_input_shapes=True, table_kwargs={"max_shapes_column_width": 40})
    profiler.setup("fit")
    for size in (3, 5):
        step(profiler, TRAIN, partial(torch.tanh, torch.ones(size)))
    text = profiler.summary()
    assert "[[3]]" in text and "[[5]]" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sort_by_key": "cpu_tiem"},
            r"sort_by_key='cpu_tiem'\): there is no such column\ndid you mean 'cpu_time",
        ),
        (
            {"with_stak": True},
            r"with_stak=...\): torch.profiler.profile takes no such.*\ndid you mean 'with_stack'",
        ),
        ({"table_kwargs": {"row_limit": 3}}, r"table_kwargs={'row_limit': ...}\): the table takes no such"),
        (
            {"schedule": 3},
            r"schedule=3\): expected a function from a step's number to a torch.profiler.Profiler",
        ),
        ({"schedule": lambda step: 3}, r"schedule=<function.*>\): expected a function"),
    ],
)
def test_a_wrong_option_is_refused(options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=r"^PyTorchProfiler\(" + message):
        PyTorchProfiler(**options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_marks_for_other_tools_need_a_gpu() -> None:
    with pytest.raises(
        UsageError, match=r"^PyTorchProfiler\(emit_nvtx=True\) needs CUDA, which is not available"
    ):
        PyTorchProfiler(emit_nvtx=True)
