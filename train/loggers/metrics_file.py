"""A table of metrics in a CSV file that is whole at any time."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lifecycle.core.canonical import write_whole


class MetricsFile:
    """``metrics.csv``: a row for each record, a column for each name.

    Rows are appended. When a name comes up that has no column yet the file is written anew beside itself and
    takes its own place, so that whoever reads it, or whenever the process dies, finds every row that was
    saved. A file that is there is continued.

    Args:
        folder: Where; it has to be there.

    Attributes:
        path: The file.
        columns: In their order, once there is a file.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "metrics.csv"
        self.columns: list[str] = []
        self._size = 0
        if self.path.is_file():
            self._take_up()

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows at the end, all or none.

        Raises:
            OSError: the file cannot be written; it is as it was.
        """
        found = list(rows)
        missing = {name for row in found for name in row}.difference(self.columns)
        if missing:
            columns = sorted({*self.columns, *missing})
            before = self._read() if self.columns else []
            data = _text(columns, [*before, *found], header=True).encode()
            write_whole(self.path, data)
            self.columns, self._size = columns, len(data)
        elif found:
            self._extend(_text(self.columns, found).encode())

    def last_step(self) -> int | None:
        """The step of the last row."""
        rows = self._read() if self.columns else []
        return int(float(rows[-1]["step"])) if rows and rows[-1].get("step") else None

    def _extend(self, data: bytes) -> None:
        with self.path.open("r+b", buffering=0) as file:
            file.seek(self._size)
            try:
                written = file.write(data)
                if written != len(data):
                    raise OSError(f"{self.path}: only {written} of {len(data)} bytes could be written")
            except BaseException:
                file.truncate(self._size)
                raise
        self._size += len(data)

    def _take_up(self) -> None:
        """Go on with a file, without the piece of a row that a dying process may have left."""
        with self.path.open("r+b") as file:
            data = file.read()
            self._size = data.rfind(b"\n") + 1
            if self._size != len(data):
                file.truncate(self._size)
        rows = csv.reader(io.StringIO(data[: self._size].decode(), newline=""))
        self.columns = next(rows, [])

    def _read(self) -> list[dict[str, str]]:
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


def _text(columns: list[str], rows: Iterable[Mapping[str, Any]], *, header: bool = False) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator=os.linesep)
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
