"""What can be collected, and what it weighs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlparse
from urllib.request import url2pathname

from lifecycle.core.canonical import JSON

Kind = Literal["version", "run", "logged model", "cache", "unfinished work", "served copy", "report"]


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that nothing refers to.

    Attributes:
        kind: What it is.
        name: What people know it by.
        why: Why it may go.
        address: What it is removed by: an id in MLflow, or a path.
        size_bytes: What its files take; None where that cannot be seen from here.
    """

    kind: Kind
    name: str
    why: str
    address: str
    size_bytes: int | None

    def to_json(self) -> dict[str, JSON]:
        """Plain data."""
        return {
            "kind": self.kind,
            "name": self.name,
            "why": self.why,
            "address": self.address,
            "bytes": self.size_bytes,
        }


@dataclass(frozen=True, kw_only=True)
class Saved:
    """One thing that a version needs, and that somebody marked as deleted in MLflow.

    Attributes:
        kind: ``run`` or ``logged model``.
        address: Its id.
        needed_by: The version.
    """

    kind: Literal["run", "logged model"]
    address: str
    needed_by: str

    def to_json(self) -> dict[str, JSON]:
        """Plain data."""
        return {"kind": self.kind, "address": self.address, "needed_by": self.needed_by}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a collection would do.

    Attributes:
        items: What would go.
        saved: What would be restored first.
    """

    items: tuple[Item, ...]
    saved: tuple[Saved, ...]

    @property
    def size_bytes(self) -> int:
        """What is known of the bytes that would go."""
        return sum(item.size_bytes or 0 for item in self.items)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def size_at(address: str) -> int | None:
    """Bytes below an address of MLflow's; None for one that is not on this machine."""
    parsed = urlparse(address)
    if parsed.scheme not in ("", "file"):
        return None
    path = Path(url2pathname(parsed.path))
    return size_of(path) if path.exists() else 0
