"""Things that only the first of several processes does."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])
log = logging.getLogger(__name__)


def rank_zero_only(function: F) -> F:
    """Run a function in the first process only; the others get None."""

    @wraps(function)
    def first_only(*arguments: Any, **options: Any) -> Any:
        return function(*arguments, **options) if rank() == 0 else None

    return cast("F", first_only)


rank_zero_only.rank = None  # type: ignore[attr-defined]  # which process this is, once a trainer knows it


def rank() -> int:
    """Which process this is, before a trainer says so as torchrun or Slurm does."""
    found: int | None = rank_zero_only.rank  # type: ignore[attr-defined]
    return int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0) if found is None else found


def rank_zero_info(message: object, *arguments: object, **options: Any) -> None:
    """Log a message in the first process."""
    if rank() == 0:
        log.info(message, *arguments, **options)


def rank_zero_debug(message: object, *arguments: object, **options: Any) -> None:
    """Log a message in the first process, for debugging."""
    if rank() == 0:
        log.debug(message, *arguments, **options)


def rank_zero_warn(message: str, stacklevel: int = 2, category: type[Warning] = UserWarning) -> None:
    """Warn in the first process."""
    if rank() == 0:
        warnings.warn(message, category, stacklevel=stacklevel)


def rank_zero_deprecation(message: str, stacklevel: int = 2) -> None:
    """Warn in the first process of what is to go."""
    if rank() == 0:
        warnings.warn(message, DeprecationWarning, stacklevel=stacklevel)


class PossibleUserWarning(UserWarning):
    """Advice that may not apply; scripts written for Lightning silence it. This trainer gives none."""
