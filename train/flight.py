"""One checkpoint on its way to the disk."""

from __future__ import annotations

import logging
import os
import pickle
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint

from lifecycle.core.errors import UsageError
from lifecycle.train.copied import Copied
from lifecycle.train.whole_file import WholeFile, duplicate, point, remove, sweep
from lifecycle.train.whole_folder import duplicate_folder

_log = logging.getLogger("lifecycle.train.writer")
_PLAIN = (
    "A checkpoint holds tensors, numbers, text, lists and dictionaries, so that reading it runs no code: "
    "keep other arguments out with save_hyperparameters(ignore=...), and other state out of state_dict()."
)


class Flight:
    """One checkpoint on its way to the disk.

    Attributes:
        whole: Whether the file is there.
        landed: Set when all is done, or has failed.
        error: Why it failed.
        trouble: The same for people, where it is an `OSError`.
        speaks: Whether this process tells people of it.
    """

    speaks = True

    def __init__(
        self,
        path: Path,
        content: Copied,
        removes: Sequence[Path] = (),
        link: Path | None = None,
        also: Path | None = None,
    ) -> None:
        self.path = path
        self.pid = os.getpid()
        self.whole = False
        self.landed = threading.Event()
        self.error: BaseException | None = None
        self.trouble = ""
        self._content = content
        self._part: WholeFile | None = None
        self._link = link
        self._also = also
        self._removes = [old for old in removes if old not in (path, link, also)]

    def start(self) -> None:
        """Leave all of it to a thread."""
        try:
            write = self.open()
        except OSError as error:
            self._report(error)
            self.landed.set()
            return
        try:
            # Not a daemon: the interpreter waits for it when it exits.
            threading.Thread(target=self._run, args=(write,), name=f"writes {self.path.name}").start()
        except BaseException:
            self.abandon()
            raise

    def open(self) -> Callable[[], None]:
        """Make sure that nobody else is at work on it; what this gives writes it."""
        self._part = part = WholeFile(self.path)

        def write() -> None:
            with part:
                self._content.settle()
                serialise(self._content, part)
            self.whole = True

        return write

    def abandon(self) -> None:
        """It was opened, and will not be written."""
        if self._part is not None:
            self._part.discard()

    def make(self) -> None:
        """Write it here and now."""
        self.open()()
        self.tidy()

    def tidy(self) -> None:
        """Do what waits for a whole file; deletions last, a link may still lead to one of the older files."""
        if self._link is not None:
            point(self._link, self.path)
        if self._also is not None:
            (duplicate_folder if self.path.is_dir() else duplicate)(self.path, self._also)
        for old in self._removes:
            remove(old)
        sweep(self.path.parent)

    def _run(self, write: Callable[[], None]) -> None:
        try:
            write()
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
        if self.speaks:
            _log.error(self.trouble)


def serialise(content: Mapping[str, object], part: WholeFile) -> None:
    """Write a nested state.

    Raises:
        UsageError: it would hold an object that only unpickling could bring back; says of which class.
        OSError: it cannot be written.
    """
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
