"""What a version costs to serve, measured now: time of a call, size of the file, memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lifecycle.core.errors import LifecycleError
from lifecycle.core.threshold import Threshold
from lifecycle.core.verdict import Row
from lifecycle.gates.case import Case, Exhibit

if TYPE_CHECKING:
    from lifecycle.export.benchmark import Latency

LATENCY, P95, SIZE, MEMORY = "latency_ms", "latency_p95_ms", "size_bytes", "memory_mb"
MEASURED = (LATENCY, P95, SIZE, MEMORY)
_CALLS = 300
_UNSET = "no limit is set"


class Speed:
    """Latency at batch 1 on one thread; candidate and champion are called in turn.

    `max_ratio` refuses what is slower by more than noise explains: the lower end of the 95 % interval of
    the median ratio counts.
    """

    def judge(self, case: Case) -> list[Row]:
        """A row for each limit, and one beside the champion."""
        asked = {name: case.limits[name] for name in (LATENCY, P95) if name in case.limits}
        if case.champion is None and not asked:
            return []
        try:
            candidate, champion = _latencies(case)
        except LifecycleError as error:
            return [Row(term="latency", measured=error.message, limit="both files run", holds=False)]
        rows = []
        for name, threshold in asked.items():
            values = [
                None if each is None else (each.median_ms if name == LATENCY else each.p95_ms)
                for each in (candidate, champion)
            ]
            rows += _plain(threshold).judge(name, *values)
        return [*rows, *(_in_turn(case, candidate, champion) if champion is not None else [])]


class Size:
    """Bytes of the ONNX file, with the weights that lie outside of it."""

    def judge(self, case: Case) -> list[Row]:
        """A row for each limit; without one, what it is beside the champion's."""
        sizes = [_size(each) if each else None for each in (case.candidate, case.champion)]
        return _rows(case, SIZE, sizes[0], sizes[1])


class Memory:
    """Resident memory of a process that serves the file, less that of one that serves nothing, in MB.

    Measured where ``gates:`` names it: each file in a fresh process, after a warm-up at batch 1 and 16.
    """

    def judge(self, case: Case) -> list[Row]:
        """A row for each limit."""
        if MEMORY not in case.limits:
            return []
        try:
            found = [_memory(each) if each else None for each in (case.candidate, case.champion)]
        except LifecycleError as error:
            return [Row(term=MEMORY, measured=error.message, limit="can be measured", holds=False)]
        return _rows(case, MEMORY, found[0], found[1])


@dataclass(frozen=True)
class _Ratio:
    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3g} × [{self.low:.3g}, {self.high:.3g}]"


def _latencies(case: Case) -> tuple[Latency, Latency | None]:
    from lifecycle.export.benchmark import measure_latency
    from lifecycle.export.runtime import open_model

    generator = np.random.default_rng(0)
    signature = case.candidate.signature
    sizes = signature.sizes(1)
    inputs = {spec.name: spec.random(generator, **sizes) for spec in signature.inputs}
    files = {"candidate": case.candidate, **({"champion": case.champion} if case.champion else {})}
    models = {name: open_model(each.bundle, "onnx", threads=1) for name, each in files.items()}
    for model in models.values():
        model.run(inputs)  # says it where the champion does not take what the candidate does
    runs = {name: (lambda model=model: model.run(inputs)) for name, model in models.items()}
    found = measure_latency(runs, calls=_CALLS)
    return found["candidate"], found.get("champion")


def _in_turn(case: Case, candidate: Latency, champion: Latency) -> list[Row]:
    from lifecycle.export.benchmark import ratio

    assert case.champion is not None
    found = _Ratio(*ratio(candidate, champion))
    threshold = case.limits.get(LATENCY)
    most = threshold.max_ratio if threshold else None
    term = f"{LATENCY}, beside version {case.champion.version.number}"
    text = f"{found}, {candidate.median_ms:.3g} ms against {champion.median_ms:.3g} ms"
    limit = _UNSET if most is None else f"≤ {most:g} ×, noise apart"
    return [Row(term=term, measured=text, limit=limit, holds=most is None or found.low <= most)]


def _plain(threshold: Threshold) -> Threshold:
    """Without the ratio, which is judged on pairs of calls."""
    if threshold.max_ratio is None or not threshold.absolute:
        return threshold
    return Threshold(min=threshold.min, max=threshold.max, max_drop=threshold.max_drop)


def _size(exhibit: Exhibit) -> float:
    return float(sum(path.stat().st_size for path in exhibit.served_files))


def _rows(case: Case, name: str, value: float | None, champion: float | None) -> list[Row]:
    threshold = case.limits.get(name)
    if threshold is not None:
        return threshold.judge(name, value, champion)
    if case.champion is None or value is None or not champion:
        return []
    term = f"{name}, beside version {case.champion.version.number}"
    text = f"{value / champion:.3g} ×, {value:,.0f} against {champion:,.0f}"
    return [Row(term=term, measured=text, limit=_UNSET, holds=True)]


def _memory(exhibit: Exhibit) -> float:
    """In a process of its own: what one file has freed, the next one would find."""
    command = [sys.executable, "-m", "lifecycle.gates.resident", str(exhibit.bundle.path)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=300)
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2]
        raise LifecycleError(f"the memory of version {exhibit.version.number} cannot be measured: {last}")
    return float(json.loads(done.stdout)["memory_mb"])
