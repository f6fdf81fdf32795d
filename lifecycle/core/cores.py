"""How many cores this process may really use: its affinity and its cgroup, not the machine's count.

ONNX Runtime looks at neither (https://github.com/microsoft/onnxruntime/issues/29510).
"""

from __future__ import annotations

import math
import os
from pathlib import Path


def available_cores(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores of the affinity mask, or fewer where a cgroup's quota allows fewer; at least 1.

    Args:
        cgroup: Where the control files lie, of version 2 (``cpu.max``) or 1 (``cpu/cpu.cfs_quota_us``).
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        cores = os.cpu_count() or 1
    quota = _quota(cgroup)
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def _quota(cgroup: Path) -> float | None:
    """Cores' worth of time for each period, None when unlimited."""
    words = _words(cgroup / "cpu.max") or (
        _words(cgroup / "cpu/cpu.cfs_quota_us") + _words(cgroup / "cpu/cpu.cfs_period_us")
    )
    if len(words) != 2 or not words[0].isdigit() or not words[1].isdigit():  # "max" and "-1": no limit
        return None
    return int(words[0]) / int(words[1])


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
