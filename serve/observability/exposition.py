"""``/metrics``: what all processes of this server counted, added up, as Prometheus reads it."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.serve.observability.cells import Reading, readings
from lifecycle.serve.observability.metrics import FAMILIES, Family

if TYPE_CHECKING:
    from prometheus_client import Metric

_Totals = Mapping[tuple[str, ...], list[float]]


def expose(folder: Path, accept: str) -> tuple[bytes, str]:
    """The page, and its media type.

    Args:
        folder: Where the processes of this server count.
        accept: The ``Accept`` header, which may ask for OpenMetrics.
    """
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry()
    registry.register(_Collector(folder))
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type


class _Collector:
    """What `prometheus_client` asks for metrics."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        found = list(readings(self._folder))
        totals = add_up(found)
        for name, family in FAMILIES.items():
            yield _metric(name, family, totals.get(name, {}))
        yield from _processes({reading.process: reading.pid for reading in found})


def add_up(found: list[Reading]) -> dict[str, dict[tuple[str, ...], list[float]]]:
    """Numbers of all processes by name and labels; a dead process is no longer at work on anything."""
    totals: dict[str, dict[tuple[str, ...], list[float]]] = defaultdict(dict)
    for reading in found:
        family = FAMILIES.get(reading.name)
        if family is None or (family.kind == "gauge" and not _alive(reading.pid)):
            continue
        before = totals[reading.name].get(reading.labels)
        if before is None:
            totals[reading.name][reading.labels] = list(reading.values)
        else:
            totals[reading.name][reading.labels] = [
                a + b for a, b in zip(before, reading.values, strict=True)
            ]
    return totals


def _metric(name: str, family: Family, totals: _Totals) -> Metric:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    if family.kind == "histogram":
        histogram = HistogramMetricFamily(name, family.text, labels=family.labels)
        bounds = [*(str(bound) for bound in family.bounds), "+Inf"]
        for labels, (total, *counts) in totals.items():
            buckets = list(zip(bounds, accumulate(counts), strict=True))
            histogram.add_metric(labels, buckets=buckets, sum_value=total)
        return histogram
    if family.kind == "counter":
        counter = CounterMetricFamily(name, family.text, labels=family.labels)
        for labels, (value,) in totals.items():
            counter.add_metric(labels, value)
        return counter
    gauge = GaugeMetricFamily(name, family.text, labels=family.labels)
    for labels, (value,) in totals.items():
        if value or name != "lifecycle_model_info":  # a version that nobody serves any more
            gauge.add_metric(labels, value)
    return gauge


def _processes(pids: Mapping[str, int]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    memory = GaugeMetricFamily(
        "lifecycle_process_resident_memory_bytes", "Resident memory.", labels=["process"]
    )
    cpu = CounterMetricFamily(
        "lifecycle_process_cpu_seconds", "Processor time, user and system.", labels=["process"]
    )
    files = GaugeMetricFamily("lifecycle_process_open_fds", "Open files and sockets.", labels=["process"])
    for name, pid in pids.items():
        try:
            resident, ticks = _measure(pid)
            num_files = len(os.listdir(f"/proc/{pid}/fd"))
        except (OSError, ValueError, IndexError):  # it died, or this is no Linux
            continue
        memory.add_metric([name], resident)
        cpu.add_metric([name], ticks / os.sysconf("SC_CLK_TCK"))
        files.add_metric([name], num_files)
    yield from (memory, cpu, files)


def _measure(pid: int) -> tuple[int, int]:
    """Resident bytes, and clock ticks of processor time (proc(5))."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return pages * os.sysconf("SC_PAGE_SIZE"), int(after_name[11]) + int(after_name[12])


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
