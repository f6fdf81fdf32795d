"""What a run takes of the machine, and what is installed on it."""

from __future__ import annotations

import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lifecycle.core.canonical import JSON

EVERY_S = 10.0
Log = Callable[[Mapping[str, float], int], object]


@contextmanager
def sampled(log: Log, *, every_s: float = EVERY_S) -> Iterator[None]:
    """Record processor and memory every few seconds, and at the end.

    Args:
        log: Takes numbers, under the names by which MLflow's page knows them, and which sample it is.
        every_s: The interval.
    """
    ended = threading.Event()
    usage = Usage()

    def sample() -> None:
        count = 0
        while not ended.wait(every_s):
            log(usage.read(), count)
            count += 1
        log(usage.read(), count)

    thread = threading.Thread(target=sample, name="samples the machine", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Usage:
    """Processor and memory, of the machine and of this process with its children."""

    def __init__(self) -> None:
        import psutil

        self._psutil = psutil
        self._process = psutil.Process()
        psutil.cpu_percent()  # a share is one of the time since it was last asked for

    def read(self) -> dict[str, float]:
        """Percent of all processors, and megabytes (10^6 bytes)."""
        memory = self._psutil.virtual_memory()
        return {
            "system/cpu_utilization_percentage": self._psutil.cpu_percent(),
            "system/system_memory_usage_megabytes": memory.used / 1e6,
            "system/system_memory_usage_percentage": memory.percent,
            "system/process_memory_usage_megabytes": self._own_bytes() / 1e6,
        }

    def _own_bytes(self) -> int:
        total = 0
        for process in (self._process, *self._process.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except self._psutil.Error:
                continue  # it has ended
        return total


def environment() -> dict[str, JSON]:
    """Python, the machine's kind and every installed distribution with its version.

    Read from the names of their folders: opening each one's metadata takes a tenth of a second.
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "packages": dict(sorted(_installed().items())),
    }


def _installed() -> dict[str, str]:
    found: dict[str, str] = {}
    for folder in reversed(sys.path):  # what comes first on the path wins
        if not folder or not Path(folder).is_dir():
            continue
        for about in Path(folder).glob("*.dist-info"):
            name, _, version = about.name.removesuffix(".dist-info").rpartition("-")
            found[name] = version
    return found
