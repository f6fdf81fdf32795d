"""Where and with what something was measured."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "torch", "onnxruntime", "onnx", "numpy", "torchao", "mlflow", "bentoml", "starlette", "uvicorn",
    "fastapi", "lightning",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine at the start of a benchmark.

    Attributes:
        processor: The model's name, as the kernel gives it.
        cores: That this process may use.
        memory_gb: All of it, in 10⁹ bytes.
        load: Processes that ran or waited to, the mean of the minute before; None where nobody wrote it down.
        accelerator: The name of a GPU that was used.
    """

    processor: str
    cores: int
    memory_gb: float | None = None
    load: float | None = None
    accelerator: str | None = None

    def __str__(self) -> str:
        """As a page says it."""
        memory = "" if self.memory_gb is None else f", {self.memory_gb:.0f} GB"
        load = "" if self.load is None else f", load {self.load:.1f} at the start"
        where = f"{self.processor}, {self.cores} cores{memory}{load}"
        return where if self.accelerator is None else f"{self.accelerator}; {where}"


def this_machine(accelerator: str | None = None) -> Machine:
    """The machine that this runs on, now."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gb=round(pages / 1e9, 1),
        load=round(os.getloadavg()[0], 2),
        accelerator=accelerator,
    )


def versions() -> dict[str, str]:
    """Python's, and those of the packages that figures depend on, where they are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    vnni = any("avx512_vnni" in line for line in lines if line.startswith("flags"))
    return f"{names[0] if names else platform.machine()}{' (AVX-512 VNNI)' if vnni else ''}"
