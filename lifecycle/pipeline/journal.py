"""What ran before in a workspace, on what it depended and how long it took: one file, a line for each event.

Lines are appended and synced; a line that a kill has torn does not count. Whoever writes holds the workspace.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import cast

from lifecycle.core.canonical import JSON, canonical_json, write_whole
from lifecycle.pipeline.keys import Basis

_KEPT = 20  # entries of a stage, and fingerprints, when the file is tidied up
_TIDY_BYTES = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A stage that ran to its end.

    Attributes:
        pipeline: The pipeline's name.
        stage: The stage's.
        key: Where its result is kept.
        basis: What the result depends on.
        digest: Of the result.
        seconds: How long it took; None where a kill kept that from being written.
        resumed: Whether it went on from an unfinished try: the seconds are those of its last part.
        at: When it ended.
    """

    pipeline: str
    stage: str
    key: str
    basis: Basis
    digest: str
    seconds: float | None
    resumed: bool
    at: str


@dataclass(frozen=True, kw_only=True)
class KeptFingerprint:
    """A fingerprint of data, for as long as nothing that it was made from has changed.

    Attributes:
        identity: Hash of the sources, arguments and versions that made it.
        value: The fingerprint.
        stamps: Size and time of every file that was read for it, by path.
    """

    identity: str
    value: str
    stamps: Mapping[str, str]


class Journal:
    """The journal of one workspace.

    Args:
        path: The file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self, pipeline: str, stage: str) -> list[Entry]:
        """Every time that a stage ran, the newest last."""
        return [
            Entry(**cast("dict[str, object]", line["stage"]))  # type: ignore[arg-type]
            for line in self._lines
            if isinstance(found := line.get("stage"), dict)
            and (found.get("pipeline"), found.get("stage")) == (pipeline, stage)
        ]

    def fingerprint(self, identity: str) -> KeptFingerprint | None:
        """The last fingerprint that was kept for an identity."""
        for line in reversed(self._lines):
            found = line.get("fingerprint")
            if isinstance(found, dict) and found.get("identity") == identity:
                return KeptFingerprint(**found)
        return None

    def add(self, entry: Entry) -> None:
        """Write down that a stage ran."""
        self._append({"stage": cast("JSON", asdict(entry))})

    def keep(self, fingerprint: KeptFingerprint) -> None:
        """Write down a fingerprint."""
        self._append({"fingerprint": cast("JSON", asdict(fingerprint))})

    @cached_property
    def _lines(self) -> list[dict[str, JSON]]:
        try:
            raw = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        lines = []
        for text in raw:
            try:
                line = json.loads(text)
            except ValueError:
                continue  # torn
            if isinstance(line, dict):
                lines.append(line)
        return lines

    def _append(self, line: dict[str, JSON]) -> None:
        self._lines.append(line)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and self.path.stat().st_size > _TIDY_BYTES:
            self._tidy()
            return
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            end = os.fstat(handle).st_size
            torn = end > 0 and os.pread(handle, 1, end - 1) != b"\n"
            os.write(handle, (b"\n" if torn else b"") + canonical_json(line) + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)

    def _tidy(self) -> None:
        """Keep the newest of everything."""
        counts: defaultdict[tuple[str, ...], int] = defaultdict(int)
        kept = []
        for line in reversed(self._lines):
            (kind, content), *_ = line.items()
            found = content if isinstance(content, dict) else {}
            group = (kind, str(found.get("pipeline", "")), str(found.get("stage", "")))
            counts[group] += 1
            if counts[group] <= _KEPT:
                kept.append(line)
        kept.reverse()
        self._lines[:] = kept
        write_whole(self.path, b"".join(canonical_json(line) + b"\n" for line in kept))


def now() -> str:
    """The time as the journal writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
