"""Checkpoints are written beside training: the step takes a copy of the state, a thread makes the file.

Under a checkpoint's name there is only ever a whole file, wherever the process dies
(`lifecycle.train.whole_file`).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.train.copied import Copied, copied
from lifecycle.train.flight import Flight, serialise
from lifecycle.train.whole_file import WholeFile

if TYPE_CHECKING:
    from lifecycle.train.sharded.group import SaveGroup

__all__ = ["CheckpointWriter", "copied", "save_ckpt"]


def save_ckpt(path: Path, content: Mapping[str, object]) -> None:
    """Write a checkpoint whole, here and now.

    Raises:
        UsageError: it would hold an object that only unpickling could bring back; says of which class.
        OSError: it cannot be written; a file that bore its name stays.
    """
    with WholeFile(path) as part:
        serialise(copied(content, share=True), part)


class CheckpointWriter:
    """Writes checkpoints in a thread beside training, at most one at a time.

    Lack of space, or whatever else is an `OSError`, does not end training: it is logged as an error when it
    happens, and warned of once, by the next call. No older file is deleted for one that was not written.

    The thread goes on when an exception ends training, and the interpreter waits for it when it exits. A
    forked process (a loader's worker) has no part in what its parent writes: there nothing is in flight.
    """

    def __init__(self) -> None:
        self._flight: Flight | None = None
        self._failed: set[Path] = set()
        self._also: dict[Path, Path] = {}
        self._warned = False

    def save(
        self,
        path: Path,
        content: Mapping[str, object],
        *,
        removes: Sequence[Path] = (),
        link: Path | None = None,
        wait: bool = False,
        group: SaveGroup | None = None,
    ) -> None:
        """Write a checkpoint, after the one in flight.

        Args:
            path: Its name; a file that bears it is replaced.
            content: The state; without ``wait`` a copy is taken, if it is not `copied` already.
            removes: Older files, deleted once the new one is whole.
            link: Becomes a symbolic link to the new file once that is whole.
            wait: Write it here and now; an interrupt leaves no file.
            group: Processes that write it together, all of which call this: a folder.

        Raises:
            UsageError: it (or, without ``wait``, the one before) would hold an object that only unpickling
                could bring back.
            OSError: with ``wait``: it cannot be written.
        """
        self.wait()
        self._failed.discard(path)
        flight = self._made(path, content, removes, link, group, share=wait)
        if wait:
            flight.make()
        else:
            self._flight = flight
            flight.start()

    def _made(
        self,
        path: Path,
        content: Mapping[str, object],
        removes: Sequence[Path],
        link: Path | None,
        group: SaveGroup | None,
        *,
        share: bool,
    ) -> Flight:
        """A flight with a copy of the state; not before the one before has landed: there is never but one."""
        also = self._also.pop(path, None)
        if group is None:
            taken = content if isinstance(content, Copied) else copied(content, share=share)
            return Flight(path, taken, removes, link, also)
        from lifecycle.train.sharded import flight, index, parts

        found = parts.taken_apart(content, index.shard_name(group.rank))
        taken = copied({"common": found.common, "own": found.own}, share=share)
        return flight.ShardedFlight(path, found, taken, group, removes, link, also)

    def also(self, path: Path, other: Path) -> None:
        """Give the next file that is saved as `path` a second name: a hard link, which takes no time."""
        self._also[path] = other

    def writing(self, path: Path) -> bool:
        """Whether the file that will bear this name is in flight."""
        flight = self._own()
        return flight is not None and flight.path == path and not flight.landed.is_set()

    def failed(self, path: Path) -> bool:
        """Whether the last attempt to write a file of this name failed."""
        flight = self._own()
        failed = flight is not None and flight.path == path and flight.landed.is_set() and not flight.whole
        return failed or path in self._failed

    def wait(self) -> None:
        """Wait until nothing is in flight; an interrupt passes through and leaves the thread to its work.

        Raises:
            UsageError: the checkpoint would have held an object that only unpickling could bring back.
        """
        flight = self._own()
        if flight is None:
            return
        flight.landed.wait()
        self._flight = None
        if not flight.whole:
            self._failed.add(flight.path)
        if isinstance(flight.error, OSError):
            if flight.speaks and not self._warned:
                self._warned = True
                warnings.warn(flight.trouble, stacklevel=2)
        elif flight.error is not None:
            raise flight.error

    def close(self) -> None:
        """Wait for the last one, as `wait` does."""
        self.wait()

    def _own(self) -> Flight | None:
        """What is in flight, or has landed and was not waited for; in a forked process, nothing."""
        flight = self._flight
        return flight if flight is not None and flight.pid == os.getpid() else None

    def __reduce__(self) -> tuple[type[CheckpointWriter], tuple[()]]:
        """Copies, and what another process unpickles, begin with nothing in flight."""
        return CheckpointWriter, ()
