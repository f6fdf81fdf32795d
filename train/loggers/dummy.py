"""A logger that keeps nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from lifecycle.train.loggers.base import Logger, Parameters


class DummyExperiment:
    """Takes any call, index or assignment, and does nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):  # copying and pickling ask for what is not there
            raise AttributeError(name)
        return _nothing

    def __getitem__(self, index: object) -> DummyExperiment:
        return self

    def __setitem__(self, index: object, value: object) -> None:
        pass


class DummyLogger(Logger):
    """Stands in for loggers in a trial run, and in all processes but the first: a module may go on writing.

    Args:
        place: Name, version and folders of the logger that it stands in for, where they are to be known.
    """

    def __init__(self, place: Mapping[str, Any] | None = None) -> None:
        self._place = place or {}

    @property
    def experiment(self) -> DummyExperiment:
        """Takes whatever a module writes, and keeps nothing."""
        return DummyExperiment()

    @property
    def name(self) -> str:
        """That of the logger it stands in for; else nothing is kept under any name."""
        return self._place.get("name", "")  # type: ignore[no-any-return]

    @property
    def version(self) -> int | str:
        """That of the logger it stands in for; else there are no versions."""
        return self._place.get("version", "")  # type: ignore[no-any-return]

    @property
    def log_dir(self) -> str | None:
        """Where the logger it stands in for keeps this version."""
        return self._place.get("log_dir")

    @property
    def save_dir(self) -> str | None:
        """Where the logger it stands in for keeps everything."""
        return self._place.get("save_dir")

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Record nothing."""

    def log_hyperparams(self, params: Parameters, *args: Any, **kwargs: Any) -> None:
        """Record nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):
            raise AttributeError(name)
        return _nothing

    def __getitem__(self, index: object) -> DummyLogger:
        return self


def place_of(logger: Any) -> dict[str, Any]:
    """What other processes know of the logger of the first: where files of this run are."""
    found = {}
    with suppress(Exception):  # a logger does not end a run
        found = {name: getattr(logger, name, None) for name in ("log_dir", "save_dir")}
        if found["log_dir"] is not None:  # others may have to ask a server for theirs
            found |= {name: getattr(logger, name, "") for name in ("name", "version")}
    return {
        name: value if isinstance(value, int) else str(value)
        for name, value in found.items()
        if value is not None
    }


def _nothing(*arguments: object, **options: object) -> None:
    """Do nothing."""
