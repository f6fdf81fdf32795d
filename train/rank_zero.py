"""Things that only the first process does; there is one."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
log = logging.getLogger(__name__)


def rank_zero_only(function: F) -> F:
    """Run a function on the first process only."""
    return function


rank_zero_only.rank = 0  # type: ignore[attr-defined]  # which process this is


def rank_zero_info(message: object, *arguments: object, **options: Any) -> None:
    """Log a message on the first process."""
    log.info(message, *arguments, **options)


def rank_zero_debug(message: object, *arguments: object, **options: Any) -> None:
    """Log a message on the first process, for debugging."""
    log.debug(message, *arguments, **options)


def rank_zero_warn(message: str, stacklevel: int = 2, category: type[Warning] = UserWarning) -> None:
    """Warn on the first process."""
    warnings.warn(message, category, stacklevel=stacklevel)


def rank_zero_deprecation(message: str, stacklevel: int = 2) -> None:
    """Warn on the first process of what is to go."""
    warnings.warn(message, DeprecationWarning, stacklevel=stacklevel)


class PossibleUserWarning(UserWarning):
    """Advice that may not apply; scripts written for Lightning silence it. This trainer gives none."""
