"""A terminal of the test's own in place of standard error, and a clock that it can turn."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import threading
import time
from types import SimpleNamespace
from typing import Any, Self

import pytest

import lifecycle as pl
from tests.train.small import quiet


def showing(**options: Any) -> pl.Trainer:
    """A trainer that shows what its callbacks show, and writes nothing."""
    return quiet(**{"logger": False, "enable_model_summary": False, **options})


class Terminal:
    """Stands in for standard error while it is entered, 120 columns wide, and keeps what is written to it."""

    def __init__(self) -> None:
        self._ours, self._theirs = pty.openpty()
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self._stream = os.fdopen(self._theirs, "w")
        self._received = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._ours, 1 << 16)
            except OSError:  # the other side was closed
                return
            self._received += piece

    def __enter__(self) -> Self:
        self._before, sys.stderr = sys.stderr, self._stream
        return self

    def __exit__(self, *_: object) -> None:
        sys.stderr = self._before
        self.close()

    def close(self) -> None:
        """Nothing more is written."""
        if not self._stream.closed:
            self._stream.close()
            self._reader.join()
            os.close(self._ours)

    def raw(self) -> bytes:
        """Everything that was written."""
        return self._received

    def text(self) -> str:
        """The same without colours and movements."""
        return re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", self._received.decode())

    def screen(self) -> list[str]:
        """What is to be seen in the end, line by line."""
        lines, row, column = [""], 0, 0
        for piece in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|[\r\n]|[^\r\n\x1b]+", self._received.decode()):
            if piece == "\r":
                column = 0
            elif piece == "\n":
                row += 1
            elif piece.startswith("\x1b") and piece[-1] == "A":
                row -= int(piece[2:-1] or 1)
            elif piece.startswith("\x1b") and piece[-1] == "K":
                lines[row] = "" if piece[2] == "2" else lines[row][:column]
            elif not piece.startswith("\x1b"):
                before = lines[row][:column].ljust(column)
                lines[row] = before + piece + lines[row][column + len(piece) :]
                column += len(piece)
            lines += [""] * (row + 1 - len(lines))
        return [line.rstrip() for line in lines if line.strip()]

    def frames(self) -> list[str]:
        """Every line as it was drawn, in order."""
        return [line.strip() for line in re.split(r"[\r\n]+", self.text()) if line.strip()]


class Clock:
    """Goes on by `step` seconds each time a bar looks at it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: float) -> None:
        self.now, self.step = time.monotonic(), step
        for module in ("lifecycle.core.progress", "lifecycle.train.callbacks.progress"):
            monkeypatch.setattr(f"{module}.time", SimpleNamespace(monotonic=self))

    def __call__(self) -> float:
        self.now += self.step
        return self.now
