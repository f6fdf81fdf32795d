"""What a process has recorded, on disk before it is anywhere else, and how much of it MLflow has.

Two files for each process: records, a line of JSON each, only ever appended to; and a mark, replaced whole,
of how far they were delivered and which run of MLflow stands for which of ours.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from lifecycle.core.canonical import JSON, sync, write_whole

Line = dict[str, JSON]
_SYNC_EVERY_S = 1.0


class Spool:
    """The records of one process.

    Args:
        path: The file of records, ``….jsonl``; its mark and its copies of files lie beside it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.copies = path.with_suffix("")
        self.runs: dict[str, str] = {}  # MLflow's ids of ours
        self.uncertain = path.exists()  # whether the last delivery may have got further than the mark says
        self._mark = path.with_suffix(".mark")
        self._offset = 0
        self._waiting: list[tuple[Line, int]] = []  # with where each ends
        self._end = 0
        self._synced_s = 0.0
        self._lock = threading.Lock()
        if self.uncertain:
            self._load()

    @classmethod
    def new(cls, folder: Path) -> Spool:
        """An empty one of this process."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder / f"{uuid.uuid4().hex}.jsonl")

    def append(self, line: Line, *, durable: bool = False) -> None:
        """Record something.

        Args:
            line: What.
            durable: Wait until it is on the disk; otherwise it is there within a second's worth of calls.
        """
        data = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        with self._lock:
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(handle, data)
                now = time.monotonic()
                if durable or now - self._synced_s > _SYNC_EVERY_S:
                    os.fsync(handle)
                    self._synced_s = now
            finally:
                os.close(handle)
            self._end += len(data)
            self._waiting.append((line, self._end))

    def waiting(self, limit: int) -> list[Line]:
        """The oldest lines that are not delivered."""
        with self._lock:
            return [line for line, _ in self._waiting[:limit]]

    def __len__(self) -> int:
        return len(self._waiting)

    def delivered(self, count: int) -> None:
        """The oldest so many lines are where they belong."""
        with self._lock:
            if count:
                self._offset = self._waiting[count - 1][1]
                del self._waiting[:count]
            self._write_mark()

    def close(self) -> bool:
        """Remove it, if nothing waits any more; returns whether that was so."""
        if self._waiting:
            sync(self.path)
            return False
        self.path.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)
        shutil.rmtree(self.copies, ignore_errors=True)
        return True

    def copy(self, folder: Path) -> Path:
        """A copy of a folder that is there until its files are delivered."""
        kept = self.copies / uuid.uuid4().hex
        shutil.copytree(folder, kept)
        return kept

    def _write_mark(self) -> None:
        content: JSON = {"offset": self._offset, "runs": self.runs}
        write_whole(self._mark, json.dumps(content).encode())

    def _load(self) -> None:
        try:
            mark = json.loads(self._mark.read_bytes())
            self._offset, self.runs = int(mark["offset"]), dict(mark["runs"])
        except (OSError, ValueError, KeyError):
            self._offset = 0  # killed before anything was delivered
        data = self.path.read_bytes()
        self._end = self._offset
        for text in data[self._offset :].splitlines(keepends=True):
            self._end += len(text)
            if (line := _parsed(text)) is not None:
                self._waiting.append((line, self._end))


def left_behind(folder: Path) -> Iterator[Spool]:
    """What processes that have ended left, the oldest first; whoever asks holds the workspace."""
    found = sorted(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    yield from (Spool(path) for path in found)


def _parsed(text: bytes) -> Line | None:
    """A line; None where a kill has torn it."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return dict(line) if isinstance(line, Mapping) else None
