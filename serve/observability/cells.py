"""Numbers that one process writes and all may read: doubles in a file that is mapped into memory.

Adding to one costs well under a microsecond, takes no lock and no system call, and whoever answers
``/metrics`` sees what the other workers counted, to the last request. A process that starts takes over the
numbers of one that died, so that no count ever goes back.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CAPACITY = 8192
"""Doubles in a file: 64 KiB, of which the system keeps only what is written to."""

_PID = 0


@dataclass(frozen=True)
class Reading:
    """One block of numbers of one process.

    Attributes:
        process: The name of its file, such as ``"worker-0"``.
        pid: Of the process that writes it now, or wrote it last.
        name: What is counted.
        labels: Of what, in an order that the name fixes.
        values: The numbers.
    """

    process: str
    pid: int
    name: str
    labels: tuple[str, ...]
    values: tuple[float, ...]


class Cells:
    """The numbers of this process. Any thread may ask for a block, and one may write to it.

    Args:
        folder: Where the files of all processes of one server lie.
        role: What the process is; those of the same role take over each other's files.

    Attributes:
        values: Add to ``values[slot]``; the slot is from `block`.
    """

    def __init__(self, folder: Path, role: str = "worker") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock, self._stem = _claim(folder, role)
        with self._stem.with_suffix(".cells").open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), CAPACITY * 8)
        self.values = memoryview(self._map).cast("d")
        self._slots: dict[tuple[str, tuple[str, ...]], int] = {}
        self._end = 1
        self._making = threading.Lock()
        for name, labels, start, size in _names(self._stem):
            self._slots[name, labels] = start
            self._end = start + size
        # A name that was being written when its process died is written over by the next.
        self._index = self._stem.with_suffix(".names").open("a", encoding="utf-8")
        self._index.truncate(_whole(self._stem))
        self.values[_PID] = os.getpid()

    def block(self, name: str, labels: Sequence[str] = (), *, size: int = 1) -> int:
        """The first slot of a block, made of zeros where there is none yet.

        Args:
            name: What is counted.
            labels: Of what.
            size: How many numbers; always the same for one name.

        Raises:
            OverflowError: there is no room; somebody uses as a label what has no end of values.
        """
        key = (name, tuple(labels))
        with self._making:
            slot = self._slots.get(key)
            if slot is None:
                if self._end + size > CAPACITY:
                    raise OverflowError(f"no room to count {name}{list(labels)}")
                slot, self._end = self._end, self._end + size
                self._index.write(json.dumps([name, list(labels), size]) + "\n")
                self._index.flush()
                self._slots[key] = slot
        return slot

    def clear(self, names: Collection[str]) -> None:
        """Make zeros of what a process before this one left under some names: it was so then, not now."""
        for (name, _), slot in self._slots.items():
            if name in names:
                self.values[slot] = 0.0

    def close(self) -> None:
        """Leave the files, for who comes next."""
        self.values.release()
        self._map.close()
        self._index.close()
        os.close(self._lock)


def readings(folder: Path) -> Iterator[Reading]:
    """What all processes counted."""
    for path in sorted(folder.glob("*.cells")):
        stem = path.with_suffix("")
        names = list(_names(stem))  # first: a number may be there without a name, not the other way
        values = memoryview(path.read_bytes()).cast("d")
        pid = int(values[_PID])
        for name, labels, start, size in names:
            yield Reading(stem.name, pid, name, labels, tuple(values[start : start + size]))


def _claim(folder: Path, role: str) -> tuple[int, Path]:
    """A file that nobody alive holds; its lock goes with this process."""
    for number in range(1024):
        stem = folder / f"{role}-{number}"
        handle = os.open(stem.with_suffix(".cells"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            continue
        os.ftruncate(handle, CAPACITY * 8)
        return handle, stem
    raise OverflowError(f"more than 1024 processes count in {folder}")


def _names(stem: Path) -> Iterator[tuple[str, tuple[str, ...], int, int]]:
    start = 1
    path = stem.with_suffix(".names")
    text = path.read_bytes() if path.exists() else b""
    for line in text.split(b"\n")[:-1]:
        name, labels, size = json.loads(line)
        yield name, tuple(labels), start, size
        start += size


def _whole(stem: Path) -> int:
    return stem.with_suffix(".names").read_bytes().rfind(b"\n") + 1
