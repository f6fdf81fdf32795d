"""How the cores are shared out: worker processes, and ONNX Runtime threads in each."""

from __future__ import annotations

from dataclasses import dataclass

from lifecycle.core.cores import available_cores
from lifecycle.serve.settings import Settings

CORES_PER_WORKER = 4


@dataclass(frozen=True, kw_only=True)
class Share:
    """What is started.

    Attributes:
        workers: Processes that answer requests.
        threads: ONNX Runtime threads in each.
    """

    workers: int
    threads: int


def share_cores(settings: Settings, cores: int | None = None) -> Share:
    """What the settings say, and where they say nothing, what suits the cores.

    One worker to four cores: each holds a copy of every model, and reads requests with one core while the
    others compute.

    Args:
        settings: Of the server.
        cores: None for those that this process may really use.

    >>> from pathlib import Path
    >>> from lifecycle.serve.settings import ServedModel
    >>> digits = ServedModel(name="digits", version="1", bundle=Path("bundle"))
    >>> share_cores(Settings(models=(digits,)), cores=8)
    Share(workers=2, threads=4)
    """
    cores = cores or available_cores()
    workers = settings.workers or max(1, cores // CORES_PER_WORKER)
    return Share(workers=workers, threads=settings.threads or max(1, cores // workers))
