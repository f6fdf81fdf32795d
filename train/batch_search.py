"""Searching for the largest batch that fits: strategies, and how to tell that one did not."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch

from lifecycle.core.errors import UsageError, suggest

log = logging.getLogger(__name__)

MODES = ("power", "binsearch")
_SIGNS = (
    ("CUDA", "out of memory"),
    ("MPS", "out of memory"),
    # cuDNN finds no algorithm for what does not fit.
    ("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED",),
    ("DefaultCPUAllocator", "allocate memory"),
)


@dataclass(frozen=True, kw_only=True)
class BatchSearch:
    """How to look for a batch size.

    Attributes:
        mode: ``power`` doubles until one is too large; ``binsearch`` then halves the distance between the
            largest that fits and the smallest that does not.
        first: The size to begin with.
        max_trials: How many sizes that fit are tried.
        margin: What ``binsearch`` takes off in the end, as a fraction.
        most: No size above this is tried.

    Raises:
        UsageError: a value is out of range.
    """

    mode: str = "power"
    first: int = 2
    max_trials: int = 25
    margin: float = 0.05
    most: int = 8192

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(
                f"a search for a batch size has no mode {self.mode!r}: {suggest(self.mode, MODES)}"
            )
        if not 0.0 <= self.margin < 1.0:
            raise UsageError(f"margin={self.margin}: expected a fraction from 0.0, below 1.0")
        if min(self.first, self.max_trials, self.most) < 1:
            raise UsageError(
                f"init_val={self.first}, max_trials={self.max_trials}, max_val={self.most}: "
                "expected whole numbers above 0"
            )

    def run(self, fits: Callable[[int], bool], samples: int | None = None) -> int:
        """The size that was found.

        Args:
            fits: Tries one.
            samples: Of the data set: a batch cannot be larger. None when nobody knows.

        Raises:
            UsageError: not even one sample fits.

        >>> BatchSearch(mode="power").run(lambda size: size <= 50)
        32
        >>> BatchSearch(mode="binsearch", margin=0.0).run(lambda size: size <= 50)
        50
        """
        fitting, failing = 0, None  # the largest that fits, the smallest that does not
        size = min(self.first, self.most)
        trials = 0
        while True:
            if fits(size):
                fitting, trials = size, trials + 1
                if trials == self.max_trials or size == self.most:
                    break
                if failing is None and samples is not None and size >= samples:
                    break
                if failing is not None and self.mode == "power":
                    break
            else:
                failing = size
                if self.mode == "power" and fitting:
                    break
            if failing == 1:
                raise UsageError("not even a batch of one sample fits into memory")
            following = self._following(fitting, failing)
            if following == fitting:
                break
            size = following
        if self.mode == "binsearch":
            return max(1, int(fitting * (1 - self.margin)))
        return fitting

    def _following(self, fitting: int, failing: int | None) -> int:
        if failing is None:
            return min(2 * fitting, self.most)
        return failing // 2 if self.mode == "power" else (fitting + failing) // 2


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was not enough, of a GPU or of the machine."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(all(word in text for word in sign) for sign in _SIGNS)


def release_memory() -> None:
    """Give back what nobody refers to any more."""
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
