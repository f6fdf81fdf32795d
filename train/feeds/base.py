"""What all feeds are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sized
from dataclasses import dataclass
from typing import Any, TypedDict

from lifecycle.core.errors import UsageError
from lifecycle.train.feeds.shards import WHOLE, Shard
from lifecycle.train.limits import Limit
from lifecycle.train.seeding import mix

DATA, ORDER, WORKERS = 1, 2, 3  # what a number is drawn for, when it is not drawn by the model


class Size(TypedDict):
    """How much data there is, whatever the limits; None where it is not known before the end."""

    batches: int | None
    samples: int | None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a loader is read.

    Attributes:
        split: ``train``, ``val``, ``test`` or ``predict``.
        limit: How many of its batches, or as a float which fraction of them.
        ordered: Without shuffling.
        rehearsal: Whatever is read, generators and data are left as they were.
        stream: Tells the random numbers of several loaders apart.
        shard: This process among those that read.
    """

    split: str
    limit: Limit = 1.0
    ordered: bool = False
    rehearsal: bool = False
    stream: int = 0
    shard: Shard = WHOLE

    @property
    def leaves_no_trace(self) -> bool:
        """Whether the next pass begins with generators and data as they were before this one.

        So do all but those of training: what is scored does not depend on how often it was scored before.
        """
        return self.rehearsal or self.split != "train"


class Feed(ABC):
    """Batches of one loader (or a combination), epoch by epoch, from any position.

    What an epoch gives depends on nothing but seed, epoch and the data: not on what was drawn or read before,
    nor on the number of workers.

    Args:
        source: The user's own loader; it stays as it is.
        size: How much it holds.
        num_batches: How many batches of an epoch are given at most; None for all there are.
        reading: How it is read.

    Attributes:
        indices: In prediction, which samples each batch of this pass consists of.
    """

    def __init__(self, source: object, size: Size, num_batches: int | None, reading: Reading) -> None:
        self.source = source
        self.size = size
        self.num_batches = num_batches
        self.reading = reading
        self.indices: list[object] = []

    @abstractmethod
    def batches(self, seed: int, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches `start`, `start` + 1, … of an epoch; earlier ones are not read, where that is possible.

        The generators of the process are seeded on the way: who draws between batches seeds them again.
        A pass that is not wanted any more ends when its iterator is let go.
        """

    def state_dict(self) -> dict[str, object]:
        """What going on from here needs besides seed, epoch and position: plain values and tensors."""
        return {"size": dict(self.describe())}

    def load_state_dict(self, state: Mapping[str, Any], position: int = 0) -> None:
        """Take back what `state_dict` gave, before the next pass.

        Args:
            state: It.
            position: How many batches of the epoch were done.

        Raises:
            UsageError: in the middle of an epoch, and the data is not of the same length any more.
        """
        if position and state["size"] != self.describe():
            raise UsageError(
                f"the checkpoint was made after {position} batches of an epoch of {_told(state['size'])}, "
                f"and the {self.reading.split} data has {_told(self.describe())} now: "
                "an epoch cannot be finished on other data",
                hint="Go on with the same data and batch size, or from a checkpoint made at an epoch's end.",
            )

    def describe(self) -> Size:
        """How much data there is, so that a resumed fit can tell whether it is still the same."""
        return self.size

    def close(self) -> None:  # noqa: B027
        """End the workers that wait for another pass, if there are any."""

    def _seed(self, seed: int) -> int:
        """The seed of this loader's own numbers, among those of several."""
        return mix(seed, self.reading.stream) if self.reading.stream else seed


def length_of(source: object) -> int | None:
    """How many items there are, None when they do not say."""
    if not isinstance(source, Sized):
        return None
    try:
        return len(source)
    except (TypeError, NotImplementedError):  # a DataLoader has a __len__, its data set may have none
        return None


def set_epoch(epoch: int, *owners: object) -> None:
    """Tell those who want to know (samplers, data sets) which epoch begins."""
    for owner in {id(owner): owner for owner in owners}.values():
        tell = getattr(owner, "set_epoch", None)
        if callable(tell):
            tell(epoch)


def _told(size: Size) -> str:
    batches = "an unknown number of batches" if size["batches"] is None else f"{size['batches']} batches"
    return batches if size["samples"] is None else f"{batches} ({size['samples']} samples)"
