"""A logger that keeps nothing."""

from __future__ import annotations

from collections.abc import Callable
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
    """Stands in for loggers in a trial run, so that a module may go on writing to ``self.logger``."""

    @property
    def experiment(self) -> DummyExperiment:
        """Takes whatever a module writes, and keeps nothing."""
        return DummyExperiment()

    @property
    def name(self) -> str:
        """Nothing is kept under any name."""
        return ""

    @property
    def version(self) -> str:
        """There are no versions."""
        return ""

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


def _nothing(*arguments: object, **options: object) -> None:
    """Do nothing."""
