"""The errors that users see, one exit code and one HTTP status to a branch.

::

    LifecycleError            exit 1, HTTP 500
      x UsageError            exit 2, HTTP 400   wrong use or configuration (a ValueError)
          x NoFingerprintError                   data that cannot be told from other data
      x ArtifactError         exit 1, HTTP 500   files that are missing or were altered
      x RefusedError          exit 3, HTTP 409   a gate, a proof or a budget said no
      x ConflictError         exit 4, HTTP 409   somebody else was faster
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


class LifecycleError(Exception):
    """What went wrong, and in `hint` what to do next.

    Args:
        message: What was wrong, what was got and what is allowed.
        hint: The next thing to try; printed on a line of its own.
    """

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(LifecycleError, ValueError):
    """A command, an option, a value or a file that the user gave is wrong."""

    exit_code = 2
    http_status = 400


class NoFingerprintError(UsageError):
    """Data holds something whose content cannot be read, so that it cannot be told from other data."""


class ArtifactError(LifecycleError):
    """An artifact is missing, incomplete or not what its manifest says."""


class RefusedError(LifecycleError):
    """A gate, a proof or a budget refused; nothing was changed."""

    exit_code = 3
    http_status = 409


class ConflictError(LifecycleError):
    """Somebody else changed meanwhile what was to be changed; nothing was."""

    exit_code = 4
    http_status = 409


def suggest(got: str, allowed: Iterable[str]) -> str:
    """Name the closest allowed word, then all of them.

    >>> suggest("prun", ["train", "prune"])
    "did you mean 'prune'? Allowed: prune, train"
    >>> suggest("x", ["train"])
    'allowed: train'
    """
    words = sorted(allowed)
    listing = ", ".join(words) if words else "(nothing)"
    close = get_close_matches(got, words, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'? Allowed: {listing}" if close else f"allowed: {listing}"
