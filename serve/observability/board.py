"""Where the worker processes of a server read what the others have counted."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from lifecycle.core.canonical import JSON


class Board:
    """A folder with a file of JSON to each process.

    What a process that died had counted stays, so sums never fall.

    Args:
        folder: Shared by the workers; made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = folder / f"{os.getpid()}.json"
        self._written = b""

    def write(self, content: Mapping[str, JSON]) -> None:
        """What the others shall read of this process."""
        text = json.dumps(content).encode()
        if text == self._written:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        aside = self._own.with_suffix(".new")
        aside.write_bytes(text)
        aside.replace(self._own)
        self._written = text

    def others(self) -> list[dict[str, JSON]]:
        """What every other process wrote last."""
        files = [file for file in self._folder.glob("*.json") if file != self._own]
        return [json.loads(file.read_bytes()) for file in files]
