"""One sharded checkpoint on its way to the disk: every process writes its parts, the first one the rest."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from lifecycle.core.errors import UsageError
from lifecycle.train.copied import Copied
from lifecycle.train.flight import Flight, serialise
from lifecycle.train.sharded.group import SaveGroup
from lifecycle.train.sharded.index import COMMON, Divided, Index, divided, joined, plain, shard_name
from lifecycle.train.sharded.parts import Parts
from lifecycle.train.sharded.reading import checksum
from lifecycle.train.whole_file import INDEX, WholeFile
from lifecycle.train.whole_folder import WholeFolder


class ShardedFlight(Flight):
    """Its folder takes its name when every process has written its file, and not before.

    All processes make it, start it and wait for it, and it ends in the same way for all of them.

    Args:
        path: The name of the folder.
        parts: What this process has.
        content: Copies of them: ``common`` and ``own``.
        group: All processes.
        removes: Older checkpoints, deleted by the first process once the new one is whole.
        link: Becomes a symbolic link to it.
        also: A second name for its files.
    """

    def __init__(
        self,
        path: Path,
        parts: Parts,
        content: Copied,
        group: SaveGroup,
        removes: Sequence[Path] = (),
        link: Path | None = None,
        also: Path | None = None,
    ) -> None:
        super().__init__(path, content, removes, link, also)
        self.speaks = group.rank == 0
        self._tensors = parts.tensors
        self._group = group
        self._folder: WholeFolder | None = None  # of the first process

    def open(self) -> Callable[[], None]:
        """Make the folder: in the first process, for all."""
        error: OSError | None = None
        if self._group.rank == 0:
            try:
                self._folder = WholeFolder(self.path)
            except OSError as caught:
                error = caught
        said = self._group.from_first((str(self._folder.aside) if self._folder else "", str(error)))
        if not said[0]:
            raise error or OSError(said[1])
        return lambda: self._write(Path(said[0]))

    def _write(self, aside: Path) -> None:
        """Write what this process has, learn of the others, and make the checkpoint whole."""
        reports = self._group.gathered(self._report_of(aside))
        error = next((each for each in reports if each["error"]), None)
        if error is None and self._group.rank == 0:
            try:
                self._complete(reports)
            except OSError as caught:
                error = {"error": str(caught), "kind": "OSError"}
        if self._group.rank == 0 and self._folder is not None and error is not None:
            self._folder.discard()
        error = self._group.from_first(error)
        if error is not None:
            raise (UsageError if error["kind"] == "UsageError" else OSError)(error["error"])
        self.whole = True

    def _report_of(self, aside: Path) -> dict[str, Any]:
        """Write the files of this process, and say what is in them."""
        rank, report = self._group.rank, {"error": "", "kind": "", "files": {}, "tensors": {}}
        try:
            if not aside.is_dir():
                raise OSError(
                    f"process {rank} does not see {aside}, which the first process has made: checkpoints "
                    "must lie where all machines see them"
                )
            self._content.settle()
            own: Any = self._content["own"]
            files = {shard_name(rank): _written(aside / shard_name(rank), own)}
            if rank == 0:
                common: Any = self._content["common"]
                files[COMMON] = _written(aside / COMMON, common)
            sums = {name: checksum(part) for name, part in own.items()}
            tensors = {name: plain(_summed(each, sums.get(name))) for name, each in self._tensors.items()}
            report |= {"files": files, "tensors": tensors}
        except (OSError, UsageError) as error:
            kind = "UsageError" if isinstance(error, UsageError) else "OSError"
            report |= {"error": f"process {rank}: {error}", "kind": kind}
        except Exception as error:  # the others wait to hear of it
            report |= {"error": f"process {rank}: {type(error).__name__}: {error}", "kind": "OSError"}
        return report

    def _complete(self, reports: Sequence[Mapping[str, Any]]) -> None:
        """Write the index, and give the folder its name."""
        assert self._folder is not None
        files = {name: found for report in reports for name, found in report["files"].items()}
        tensors = joined(
            {name: divided(each) for name, each in report["tensors"].items()} for report in reports
        )
        index = Index(
            processes=self._group.size,
            sizes={name: size for name, (size, _) in files.items()},
            checksum=files[COMMON][1],
            tensors=tensors,
        )
        index.write(self._folder.aside / INDEX)
        handle = os.open(self._folder.aside / INDEX, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        self._folder.keep()

    def abandon(self) -> None:
        """No thread can be started for it."""
        if self._folder is not None:
            with suppress(OSError):
                self._folder.discard()

    def tidy(self) -> None:
        """Do what waits for a whole checkpoint, in the first process."""
        if self._group.rank == 0:
            super().tidy()


class _Summed(WholeFile):
    """A file that knows how much was written to it, and the CRC-32 of that."""

    size_bytes = 0
    checksum = 0

    def write(self, data: bytes | memoryview) -> int:
        """All of it."""
        self.checksum = zlib.crc32(data, self.checksum)
        self.size_bytes += memoryview(data).nbytes
        return super().write(data)


def _written(path: Path, content: Mapping[str, object]) -> tuple[int, int]:
    """Write a file: its size and checksum."""
    with _Summed(path) as part:
        serialise(content, part)
    return part.size_bytes, part.checksum


def _summed(tensor: Divided, found: int | None) -> Divided:
    chunks = tuple(replace(chunk, checksum=found or 0) for chunk in tensor.chunks)
    return replace(tensor, chunks=chunks)
