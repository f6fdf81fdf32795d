"""What torch's operators take, of time and memory."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch._C._profiler import _ExperimentalConfig
from torch.autograd.profiler import emit_nvtx as nvtx_ranges
from torch.autograd.profiler import record_function
from torch.autograd.profiler_util import EventList
from torch.profiler import ProfilerAction, ProfilerActivity, tensorboard_trace_handler

from lifecycle.train.profilers.base import Profiler
from lifecycle.train.profilers.checks import Schedule, check
from lifecycle.train.profilers.parts import NamedParts

STEPS = ("training_step", "validation_step", "test_step", "predict_step")
_RECORDING = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)

log = logging.getLogger(__name__)


def first_and_settled(step: int) -> ProfilerAction:
    """The schedule by default: steps 2 to 4, and before them 0 and 1, for runs that are no longer."""
    if step in (1, 4):
        return ProfilerAction.RECORD_AND_SAVE
    return ProfilerAction.RECORD if step < 4 else ProfilerAction.NONE


class PyTorchProfiler(Profiler):
    """Measures torch's operators with `torch.profiler`, and which module and action they belong to.

    It follows steps: what lies between the beginnings of two training steps is one step of training, and
    steps of validation, test and prediction are counted for themselves. For each of these kinds the report
    shows the last steps that were recorded; every recording is also written as a trace.

    Args:
        dirpath: Where the report and traces go.
        filename: Of the report, without ``.txt``.
        group_by_input_shapes: Tell calls of an operator apart by the shapes of their inputs.
        emit_nvtx: Mark operators for NVIDIA's tools instead: run the program under ``nsys profile``. Needs
            CUDA.
        export_to_chrome: Write traces (``.pt.trace.json``), for https://ui.perfetto.dev or TensorBoard.
        row_limit: Rows of the report; -1 for all.
        sort_by_key: What the report is sorted by, greatest first: ``cpu_time_total``,
            ``self_cpu_memory_usage`` and so on; by default the total time on the GPU, or without one on the
            CPU.
        record_module_names: Name the module's parts; it gets hooks while something is recorded.
        table_kwargs: For the report: arguments of `EventList.table`.
        **profiler_kwargs: Arguments of `torch.profiler.profile`. With a ``schedule`` only the steps that it
            says are recorded, by default the first two of each kind and then the next three; None records
            everything from the first action on. ``export_to_flame_graph=True`` writes ``.stack`` files of
            ``metric``.

    Raises:
        UsageError: an argument is not what it may be; says what is.

    Attributes:
        function_events: The last events recorded, by kind of step.
    """

    def __init__(
        self,
        dirpath: str | Path | None = None,
        filename: str | None = None,
        group_by_input_shapes: bool = False,
        emit_nvtx: bool = False,
        export_to_chrome: bool = True,
        row_limit: int = 20,
        sort_by_key: str | None = None,
        record_module_names: bool = True,
        table_kwargs: Mapping[str, Any] | None = None,
        **profiler_kwargs: Any,
    ) -> None:
        super().__init__(dirpath, filename)
        options = dict(profiler_kwargs)
        self._flame_metric = options.pop("metric", "self_cpu_time_total")
        self._flame = bool(options.pop("export_to_flame_graph", False))
        if self._flame:
            # Without the second torch keeps no stacks: https://github.com/pytorch/pytorch/issues/100253
            options |= {"with_stack": True, "experimental_config": _ExperimentalConfig(verbose=True)}
        if group_by_input_shapes:
            options["record_shapes"] = True
        self._schedule: Schedule | None = options.pop("schedule", first_and_settled)
        self._on_trace_ready = options.pop("on_trace_ready", None)
        self._options = options
        self._group_by_input_shapes = group_by_input_shapes
        self._emit_nvtx = emit_nvtx
        self._export_to_chrome = export_to_chrome
        self._row_limit = row_limit
        self._sort_by_key = sort_by_key or _sort_key(options.get("activities"))
        self._record_module_names = record_module_names
        self._table_kwargs = dict(table_kwargs or {})
        check(options, self._schedule, self._sort_by_key, self._table_kwargs, nvtx=emit_nvtx)
        self.function_events: dict[str, EventList] = {}
        self._parts: NamedParts | None = None
        self._running: dict[str, AbstractContextManager[object]] = {}  # actions, in the trace
        self._steps: dict[str, int] = {}  # begun so far, by kind
        self._marks: dict[str, str] = {}  # the action with which one begins
        self._kind = ""
        self._trace: torch.profiler.profile | None = None
        self._nvtx: ExitStack | None = None

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """Begin anew: a report is that of one stage."""
        super().setup(stage, local_rank, log_dir)
        self._close()
        self.function_events, self._steps, self._marks = {}, {}, {}

    def watch(self, module: nn.Module) -> None:
        """Name the parts of a module in what is recorded."""
        if self._record_module_names:
            self._parts = NamedParts(module)

    def start(self, action_name: str) -> None:
        """An action begins; if it is a step, the one before it has ended."""
        kind = self._kind_begun(action_name)
        if self._emit_nvtx:
            self._mark()
        elif self._schedule is None:
            if self._trace is None:
                self._open("all")
        elif kind is not None:
            self._follow(kind)
        if self._recording and action_name not in self._running:
            self._running[action_name] = record = record_function(f"[pl][profile]{action_name}")
            record.__enter__()  # type: ignore[no-untyped-call]

    def stop(self, action_name: str) -> None:
        """An action has ended."""
        record = self._running.pop(action_name, None)
        if record is not None:
            record.__exit__(None, None, None)

    def summary(self) -> str:
        """For each kind of step a table of operators."""
        self._close()
        found = {}
        for kind, events in self.function_events.items():
            averages = events.key_averages(self._group_by_input_shapes)  # type: ignore[no-untyped-call]
            table = averages.table(sort_by=self._sort_by_key, row_limit=self._row_limit, **self._table_kwargs)
            found[kind] = table
        return self.sections(found) if found else ""

    def teardown(self, stage: str | None) -> None:
        """Stop measuring, and let go of the module."""
        self._close()
        self._parts = None

    # Traces

    def _kind_begun(self, action_name: str) -> str | None:
        """The kind of step that begins with this action: the outermost that marks one of that kind."""
        marked = "training_step" if action_name == "run_training_batch" else action_name
        kind = next((step for step in STEPS if marked.endswith(step)), None)
        if kind is not None and self._marks.setdefault(kind, action_name) == action_name:
            return kind
        return None

    @property
    def _recording(self) -> bool:
        if self._nvtx is not None:
            return True
        return self._trace is not None and self._trace.current_action in _RECORDING

    def _follow(self, kind: str) -> None:
        """A step of a kind begins."""
        trace = self._trace
        # Each recording has a trace of its own: torch warns of a second one in the same.
        if (
            trace is not None
            and kind == self._kind
            and trace.current_action != ProfilerAction.RECORD_AND_SAVE
        ):
            trace.step()
        else:
            self._close()
            self._open(kind)
        self._steps[kind] = self._steps.get(kind, 0) + 1
        self._name_parts()

    def _open(self, kind: str) -> None:
        """Trace steps of a kind, from the next on."""
        self._kind = kind
        first, schedule = self._steps.get(kind, 0), self._schedule
        self._trace = torch.profiler.profile(
            schedule=None if schedule is None else lambda step: schedule(first + step),
            on_trace_ready=self._ready,
            **self._options,
        )
        self._trace.start()
        self._name_parts()

    def _mark(self) -> None:
        """Mark what runs, from now on."""
        if self._nvtx is None:
            self._nvtx = ExitStack()
            self._nvtx.enter_context(torch.cuda.profiler.profile())
            shapes = bool(self._options.get("record_shapes"))
            self._nvtx.enter_context(nvtx_ranges(record_shapes=shapes))  # type: ignore[no-untyped-call]
            self._name_parts()

    def _close(self) -> None:
        """End the trace; what of it was recorded is kept."""
        for action in list(self._running):
            self.stop(action)
        trace, self._trace = self._trace, None
        marked, self._nvtx = self._nvtx, None
        self._name_parts()
        if trace is not None:
            trace.stop()
        if marked is not None:
            marked.close()

    def _name_parts(self) -> None:
        if self._parts is None:
            return
        if self._recording:
            self._parts.begin()
        else:
            self._parts.end()

    def _ready(self, trace: torch.profiler.profile) -> None:
        """Something was recorded."""
        events = trace.events()  # type: ignore[no-untyped-call]
        if events is not None:
            self.function_events[self._kind] = events
        if self._on_trace_ready is not None:
            self._on_trace_ready(trace)
        elif self.dirpath is not None:
            if self._export_to_chrome:
                tensorboard_trace_handler(str(self.dirpath), self.file_name(self._kind, ""))(trace)
            if self._flame:
                path = Path(self.dirpath) / self.file_name(self._kind, ".stack")
                path.parent.mkdir(parents=True, exist_ok=True)
                trace.export_stacks(str(path), self._flame_metric)
        elif self._export_to_chrome or self._flame:
            log.info("PyTorchProfiler writes no trace: it has no dirpath")


def _sort_key(activities: Any) -> str:
    cuda = torch.cuda.is_available() if activities is None else ProfilerActivity.CUDA in activities
    return "cuda_time_total" if cuda else "cpu_time_total"
