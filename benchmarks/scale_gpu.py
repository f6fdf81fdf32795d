"""The part of `scale.py` that needs a CUDA device."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpu
from torch.nn.parallel import DistributedDataParallel
from trainer import interval

import lifecycle as pl


def on_gpu(root: Path, repeats: int) -> dict[str, Any]:
    """Time, memory and host synchronisations of ResNet-50, alone and in a process group of one."""
    task, short = gpu.large(steps=60), gpu.large(steps=10)
    bare = {"logger": False, "enable_checkpointing": False}
    found: dict[str, Any] = {"times": {}, "once_ms": {}, "memory": {}}

    def raw_ddp(task: Any) -> Callable[[], None]:
        return gpu.raw(task, lambda model: DistributedDataParallel(model, device_ids=[0]))

    for name, hand in (("single_device", gpu.raw), ("ddp", raw_ddp)):
        gpu.trained_by(pl, short, root, strategy=name, **bare)()  # makes the process group
        ours = [gpu.trained_by(pl, each, root, strategy=name, **bare) for each in (short, task)]
        raw = [hand(short), hand(task)]
        found["times"][name], found["once_ms"][name] = slopes(raw, ours, 50, repeats)
        found["memory"][name] = gpu.peak_bytes(ours[0]) / gpu.peak_bytes(raw[0])
    found["syncs"] = {"single_device": gpu.syncs_per_step(pl, root)[0]}
    start = time.perf_counter()
    gpu.raw(task)()
    found["step_ms"] = (time.perf_counter() - start) / len(task.batches) * 1e3
    return found


def slopes(
    raw: list[Callable[[], None]], ours: list[Callable[[], None]], steps: int, repeats: int
) -> tuple[tuple[float, float, float], float]:
    """Time of a step over the raw loop's, and what a fit costs once beside it, in milliseconds.

    Args:
        raw: A short run and a longer one.
        ours: Likewise.
        steps: By how many the longer ones are longer.
        repeats: How often all four are timed, in turn.
    """
    values, once = [], []
    for turn in range(repeats + 1):
        times = []
        for run in (*raw, *ours):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        if turn:  # the first makes kernels and memory ready
            values.append((times[3] - times[2]) / (times[1] - times[0]))
            once.append(
                1e3 * ((times[2] - times[0]) - 10 * (times[3] - times[2] - times[1] + times[0]) / steps)
            )
    return interval(values), sorted(once)[len(once) // 2]
