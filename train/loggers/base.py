"""What every logger offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from lifecycle.train.rank_zero import rank

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lifecycle.train.callbacks.base import Callback

Parameters = Mapping[str, Any] | Namespace
F = TypeVar("F", bound=Callable[..., Any])


class Logger(ABC):
    """Keeps the numbers and hyperparameters of a run; loggers of one's own derive from it.

    The trainer calls a logger through `lifecycle.train.loggers.Delivery`, so what it raises does not end a
    run. Most loggers also have an ``experiment``: what they write with, for whatever this class does not
    offer.

    Attributes:
        in_background: Whether the trainer may call it in a thread beside training. Only for loggers that
            take their time, and may be called in any thread.
    """

    LOGGER_JOIN_CHAR: ClassVar[str] = "-"
    in_background: bool = False

    @property
    @abstractmethod
    def name(self) -> str | None:
        """What the runs that belong together are called."""

    @property
    @abstractmethod
    def version(self) -> int | str | None:
        """Which of these runs it is."""

    @property
    def root_dir(self) -> str | None:
        """Where all versions are kept, if they are kept on this machine."""
        return None

    @property
    def log_dir(self) -> str | None:
        """Where this version is kept, if it is kept on this machine."""
        return None

    @property
    def save_dir(self) -> str | None:
        """Where everything is kept, if it is kept on this machine."""
        return None

    @property
    def group_separator(self) -> str:
        """What stands between a group and a name within it."""
        return "/"

    @abstractmethod
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Record numbers by name, at a step of training."""

    @abstractmethod
    def log_hyperparams(self, params: Parameters, *args: Any, **kwargs: Any) -> None:
        """Record what a run was made with."""

    def log_graph(self, model: nn.Module, input_array: Tensor | None = None) -> None:
        """Record the operations of a module, for its example input or another."""
        return None

    def save(self) -> None:
        """Write down what was recorded."""
        return None

    def finalize(self, status: str) -> None:
        """End the run.

        Args:
            status: ``success``, ``failed`` or ``aborted``.
        """
        self.save()

    def after_save_checkpoint(self, checkpoint_callback: Callback) -> None:
        """A `ModelCheckpoint` has saved."""
        return None


def rank_zero_experiment(function: F) -> F:
    """Marks the ``experiment`` of a logger of one's own as the first process's: others' does nothing."""

    @wraps(function)
    def experiment(*arguments: Any, **options: Any) -> Any:
        if rank() == 0:
            return function(*arguments, **options)
        from lifecycle.train.loggers.dummy import DummyExperiment

        return DummyExperiment()

    return cast("F", experiment)


def prefixed(metrics: Mapping[str, Any], prefix: str, separator: str) -> dict[str, Any]:
    """The same numbers under names that begin with a prefix.

    >>> prefixed({"loss": 1.0}, "student", "-"), prefixed({"loss": 1.0}, "", "-")
    ({'student-loss': 1.0}, {'loss': 1.0})
    """
    begin = f"{prefix}{separator}" if prefix else ""
    return {begin + name: value for name, value in metrics.items()}
