"""How busy the machine is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lifecycle.core.errors import UsageError

PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True)
class Percentages:
    """In use, from 0 to 100."""

    memory: float
    processor: float
    swap: float


class Load:
    """Reads the load from Linux itself, and through psutil elsewhere."""

    def __init__(self) -> None:
        self._before = _processor_times() if PROC.is_dir() else None

    def read(self) -> Percentages:
        """Memory and swap space now, and the processors' time since this was called last, or made.

        Raises:
            UsageError: the system is not Linux, and psutil is not installed.
        """
        if self._before is None:
            return _by_psutil()
        idle_before, total_before = self._before
        self._before = idle, total = _processor_times()
        passed = total - total_before
        memory = _memory()
        return Percentages(
            memory=_used(memory["MemAvailable"], memory["MemTotal"]),
            processor=_used(idle - idle_before, passed),
            swap=_used(memory["SwapFree"], memory["SwapTotal"]),
        )


def _processor_times() -> tuple[int, int]:
    """Ticks of all processors since the start: idle or waiting for disks, and in all (proc(5))."""
    first = (PROC / "stat").read_text().partition("\n")[0]
    ticks = [int(field) for field in first.split()[1:9]]  # those of guests are counted among user's
    return ticks[3] + ticks[4], sum(ticks)


def _memory() -> dict[str, int]:
    lines = (line.split() for line in (PROC / "meminfo").read_text().splitlines())
    return {name.rstrip(":"): int(size) for name, size, *_ in lines}


def _used(free: int, total: int) -> float:
    return round(100 * (total - free) / total, 1) if total else 0.0


def _by_psutil() -> Percentages:
    try:
        import psutil
    except ImportError as error:
        raise UsageError(
            "how busy this machine is cannot be read without psutil", hint="pip install psutil"
        ) from error
    return Percentages(
        memory=psutil.virtual_memory().percent,
        processor=psutil.cpu_percent(),
        swap=psutil.swap_memory().percent,
    )
