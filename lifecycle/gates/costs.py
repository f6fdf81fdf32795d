"""What a version costs to serve, measured now: time of a call, size of the file, memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lifecycle.core.errors import LifecycleError
from lifecycle.core.threshold import Threshold
from lifecycle.core.verdict import Row
from lifecycle.gates.case import Case, Exhibit

if TYPE_CHECKING:
    from lifecycle.export.benchmark import Latency

LATENCY, P95, SIZE, MEMORY = "latency_ms", "latency_p95_ms", "size_bytes", "memory_mb"
MEASURED = (LATENCY, P95, SIZE, MEMORY)
_CALLS, _SAMPLES = 300, 16
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
        if (threshold := asked.get(LATENCY)) and (plain := _without_ratio(threshold)):
            rows += plain.judge(LATENCY, candidate.median_ms, champion.median_ms if champion else None)
        if P95 in asked:
            rows += asked[P95].judge(P95, candidate.p95_ms, champion.p95_ms if champion else None)
        return [*rows, *(_in_turn(case, candidate, champion) if champion is not None else [])]


class Size:
    """Bytes of the ONNX file, with the weights that lie outside of it."""

    def judge(self, case: Case) -> list[Row]:
        """A row for each limit; without one, what it is beside the champion's."""
        sizes = [_size(each) if each else None for each in (case.candidate, case.champion)]
        return _rows(case, SIZE, sizes[0], sizes[1])


class Memory:
    """What a process's peak memory grows by when it runs the file, in MB (`lifecycle.export.probe`).

    Measured where ``gates:`` names it, each file in a process of its own, at batch 16.
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


def _latencies(case: Case) -> tuple[Latency, Latency | None]:
    from lifecycle.export.batches import random_inputs
    from lifecycle.export.benchmark import measure_latency
    from lifecycle.export.runtime import open_model

    inputs = random_inputs(case.candidate.signature, 1)
    files = {"candidate": case.candidate, **({"champion": case.champion} if case.champion else {})}
    models = {name: open_model(each.bundle, "onnx", threads=1) for name, each in files.items()}
    runs = {name: (lambda model=model: model.run(inputs)) for name, model in models.items()}
    found = measure_latency(runs, calls=_CALLS)
    return found["candidate"], found.get("champion")


def _in_turn(case: Case, candidate: Latency, champion: Latency) -> list[Row]:
    from lifecycle.export.benchmark import ratio

    assert case.champion is not None
    middle, low, high = ratio(candidate, champion)
    threshold = case.limits.get(LATENCY)
    most = threshold.max_ratio if threshold else None
    term = f"{LATENCY}, beside version {case.champion.version.number}"
    text = (
        f"{middle:.3g} × [{low:.3g}, {high:.3g}], "
        f"{candidate.median_ms:.3g} ms against {champion.median_ms:.3g} ms"
    )
    limit = _UNSET if most is None else f"≤ {most:g} ×, noise apart"
    return [Row(term=term, measured=text, limit=limit, holds=most is None or low <= most)]


def _without_ratio(threshold: Threshold) -> Threshold | None:
    """What is left where the ratio is judged on pairs of calls; None for nothing."""
    return replace(threshold, max_ratio=None) if threshold.absolute else None


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
    from lifecycle.export.probe import probe

    return probe(exhibit.bundle.file("model.onnx"), exhibit.signature, "onnx", 1, _SAMPLES).added_mb
