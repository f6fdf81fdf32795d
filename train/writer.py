"""Checkpoints are written beside training: the step takes a copy of the state, a thread makes the file.

Under a checkpoint's name there is only ever a whole file, wherever the process dies
(`lifecycle.train.whole_file`).
"""

from __future__ import annotations

import logging
import os
import pickle
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, cast

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint

from lifecycle.core.errors import UsageError
from lifecycle.train.copied import Copied, copied
from lifecycle.train.whole_file import WholeFile, duplicate, point, sweep

__all__ = ["CheckpointWriter", "copied", "save_ckpt"]

_log = logging.getLogger(__name__)
_PLAIN = (
    "A checkpoint holds tensors, numbers, text, lists and dictionaries, so that reading it runs no code: "
    "keep other arguments out with save_hyperparameters(ignore=...), and other state out of state_dict()."
)


def save_ckpt(path: Path, content: Mapping[str, object]) -> None:
    """Write a checkpoint whole, here and now.

    Raises:
        UsageError: it would hold an object that only unpickling could bring back; says of which class.
        OSError: it cannot be written; a file that bore its name stays.
    """
    with WholeFile(path) as part:
        _serialise(copied(content, share=True), part)


class CheckpointWriter:
    """Writes checkpoints in a thread beside training, at most one at a time.

    Lack of space, or whatever else is an `OSError`, does not end training: it is logged as an error when it
    happens, and warned of once, by the next call. No older file is deleted for one that was not written.

    The thread goes on when an exception ends training, and the interpreter waits for it when it exits. A
    forked process (a loader's worker) has no part in what its parent writes: there nothing is in flight.
    """

    def __init__(self) -> None:
        self._flight: _Flight | None = None
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
    ) -> None:
        """Write a checkpoint, after the one in flight.

        Args:
            path: Its name; a file that bears it is replaced.
            content: The state; without ``wait`` a copy is taken, if it is not `copied` already.
            removes: Older files, deleted once the new one is whole.
            link: Becomes a symbolic link to the new file once that is whole.
            wait: Write it here and now; an interrupt leaves no file.

        Raises:
            UsageError: it (or, without ``wait``, the one before) would hold an object that only unpickling
                could bring back.
            OSError: with ``wait``: it cannot be written.
        """
        self.wait()
        self._failed.discard(path)
        # Not before the wait: there is never more than one copy.
        taken = content if isinstance(content, Copied) else copied(content, share=wait)
        flight = _Flight(path, taken, removes, link, self._also.pop(path, None))
        if wait:
            flight.make(WholeFile(path))
            flight.tidy()
        else:
            self._flight = flight
            flight.start()

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
            if not self._warned:
                self._warned = True
                warnings.warn(flight.trouble, stacklevel=2)
        elif flight.error is not None:
            raise flight.error

    def close(self) -> None:
        """Wait for the last one, as `wait` does."""
        self.wait()

    def _own(self) -> _Flight | None:
        """What is in flight, or has landed and was not waited for; in a forked process, nothing."""
        flight = self._flight
        return flight if flight is not None and flight.pid == os.getpid() else None

    def __reduce__(self) -> tuple[type[CheckpointWriter], tuple[()]]:
        """Copies, and what another process unpickles, begin with nothing in flight."""
        return CheckpointWriter, ()


class _Flight:
    """One checkpoint on its way to the disk.

    Attributes:
        whole: Whether the file is there.
        landed: Set when all is done, or has failed.
        error: Why it failed.
        trouble: The same for people, where it is an `OSError`.
    """

    def __init__(
        self, path: Path, content: Copied, removes: Sequence[Path], link: Path | None, also: Path | None
    ) -> None:
        self.path = path
        self.pid = os.getpid()
        self.whole = False
        self.landed = threading.Event()
        self.error: BaseException | None = None
        self.trouble = ""
        self._content = content
        self._link = link
        self._also = also
        self._removes = [old for old in removes if old not in (path, link, also)]

    def start(self) -> None:
        """Leave all of it to a thread."""
        try:
            part = WholeFile(self.path)
        except OSError as error:
            self._report(error)
            self.landed.set()
            return
        try:
            # Not a daemon: the interpreter waits for it when it exits.
            threading.Thread(target=self._run, args=(part,), name=f"writes {self.path.name}").start()
        except BaseException:
            part.discard()
            raise

    def make(self, part: WholeFile) -> None:
        """Write the file."""
        with part:
            self._content.settle()
            _serialise(self._content, part)
        self.whole = True

    def tidy(self) -> None:
        """Do what waits for a whole file; deletions last, a link may still lead to one of the older files."""
        if self._link is not None:
            point(self._link, self.path)
        if self._also is not None:
            duplicate(self.path, self._also)
        for old in self._removes:
            old.unlink(missing_ok=True)
        sweep(self.path.parent)

    def _run(self, part: WholeFile) -> None:
        try:
            self.make(part)
            self.tidy()
        except OSError as error:
            self._report(error)
        except BaseException as error:
            self.error = error
        finally:
            self._content = Copied()  # a copy of the state is much memory
            self.landed.set()

    def _report(self, error: OSError) -> None:
        self.error = error
        stays = ", ".join(str(old) for old in (self.path, *self._removes) if old.exists())
        if self.whole:
            self.trouble = f"checkpoint {self.path} is whole, but not all that follows was done: {error}"
        else:
            self.trouble = (
                f"checkpoint {self.path} could not be written: {error}. Training goes on, and the next save "
                f"tries again; {f'{stays} stays' if stays else 'there is no older one'}."
            )
        _log.error(self.trouble)


def _serialise(content: Mapping[str, object], part: WholeFile) -> None:
    name = part.path.name
    try:
        # To a file object: the entries of an archive that torch opens itself are named after its file.
        torch.save(dict(content), cast("IO[bytes]", part))
    except (AttributeError, pickle.PicklingError, TypeError) as error:
        raise UsageError(f"{name} cannot be written: {error}", hint=_PLAIN) from error
    except RuntimeError as error:  # torch's own, when it cannot end an archive that it could not write
        raise part.error or error from None
    if unsafe := get_unsafe_globals_in_checkpoint(part.aside):
        raise UsageError(f"{name} would hold {', '.join(sorted(unsafe))}", hint=_PLAIN)
