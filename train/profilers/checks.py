"""What `PyTorchProfiler` may be asked for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

import torch
from torch.autograd.profiler_util import EventList
from torch.profiler import ProfilerAction

from lifecycle.core.errors import UsageError, suggest

Schedule = Callable[[int], ProfilerAction]

SORT_KEYS = (
    "cpu_time",
    "cuda_time",
    "cpu_time_total",
    "cuda_time_total",
    "self_cpu_time_total",
    "self_cuda_time_total",
    "cpu_memory_usage",
    "cuda_memory_usage",
    "self_cpu_memory_usage",
    "self_cuda_memory_usage",
    "count",
)


def check(
    options: Mapping[str, object],
    schedule: Schedule | None,
    sort_by_key: str,
    table_kwargs: Mapping[str, object],
    *,
    nvtx: bool,
) -> None:
    """Refuse what torch would, or would fail with in the middle of a fit.

    Raises:
        UsageError: says what is allowed.
    """
    allowed = set(inspect.signature(torch.profiler.profile).parameters)
    for name in options:
        if name not in allowed:
            choices = {*allowed, "export_to_flame_graph", "metric"}
            raise UsageError(
                f"PyTorchProfiler({name}=...): torch.profiler.profile takes no such argument",
                hint=suggest(name, choices),
            )
    if sort_by_key not in SORT_KEYS:
        raise UsageError(
            f"PyTorchProfiler(sort_by_key={sort_by_key!r}): there is no such column",
            hint=suggest(sort_by_key, SORT_KEYS),
        )
    columns = set(inspect.signature(EventList.table).parameters) - {"self", "sort_by", "row_limit"}
    for name in table_kwargs:
        if name not in columns:
            raise UsageError(
                f"PyTorchProfiler(table_kwargs={{{name!r}: ...}}): the table takes no such argument",
                hint=suggest(name, columns),
            )
    if schedule is not None and not (callable(schedule) and isinstance(schedule(0), ProfilerAction)):
        raise UsageError(
            f"PyTorchProfiler(schedule={schedule!r}): expected a function from a step's number to "
            "a torch.profiler.ProfilerAction, such as torch.profiler.schedule(...) makes"
        )
    if nvtx and not torch.cuda.is_available():
        raise UsageError("PyTorchProfiler(emit_nvtx=True) needs CUDA, which is not available here")
