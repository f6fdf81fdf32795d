"""Which loggers a trainer has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lifecycle.core.errors import UsageError
from lifecycle.train.loggers.base import Logger


def loggers_of(value: object, root: Path, *, dummy: bool = False) -> list[Any]:
    """The loggers that a trainer was asked to have.

    Args:
        value: A logger, several, True or None for the default one, False for none. A logger is anything that
            has ``log_metrics(metrics, step=...)``.
        root: Where the default one keeps its runs.
        dummy: A trial run: one that keeps nothing stands in for all, if there would be any.

    Raises:
        UsageError: it is none of these.
    """
    found = _wanted(value, root)
    if dummy and found:
        from lifecycle.train.loggers.dummy import DummyLogger

        return [DummyLogger()]
    return found


def _wanted(value: object, root: Path) -> list[Any]:
    if value is None or value is True:
        return [default_logger(root)]
    if value is False:
        return []
    found = list(value) if isinstance(value, Iterable) and not _single(value) else [value]
    for each in found:
        if isinstance(each, type) or not _logs(each):
            raise UsageError(
                f"logger={each!r} is no logger: it has no log_metrics(metrics, step=...)",
                hint="Pass a logger such as lifecycle.loggers.CSVLogger('logs'), a list of them, True for "
                "the default one, or False for none.",
            )
    return found


def default_logger(root: Path) -> Logger:
    """TensorBoard if it is installed, else CSV, in ``lightning_logs/version_N`` below a folder."""
    if find_spec("tensorboard") is not None:
        from lifecycle.train.loggers.tensorboard_logger import TensorBoardLogger

        return TensorBoardLogger(root)
    from lifecycle.train.loggers.csv_logger import CSVLogger

    return CSVLogger(root)


def _single(value: object) -> bool:
    return isinstance(value, str | bytes | Mapping) or _logs(value)


def _logs(value: object) -> bool:
    return callable(getattr(value, "log_metrics", None))
