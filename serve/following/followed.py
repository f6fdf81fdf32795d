"""What the follower tells the workers: one small file to each followed model, renamed into place.

The follower is the one writer. A worker that starts, or that sees the file change, reads it whole; so the
registry can hang, lie or be away without a worker so much as noticing.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from lifecycle.core.errors import ArtifactError

FOLDER = "followed"
"""Of the files, in the server's own folder."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A version that was found good: what workers are to serve.

    Attributes:
        version: Its number.
        digest: SHA-256 of its bundle, as the registry has it.
        bundle: Folder of the bundle.
    """

    version: str
    digest: str
    bundle: Path


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A version that the alias names, and that is not served.

    Attributes:
        version: Its number.
        digest: SHA-256 of its bundle, as the registry has it.
        reason: Why not.
        at: Seconds since 1970 when it was tried.
    """

    version: str
    digest: str
    reason: str
    at: float


@dataclass(frozen=True, kw_only=True)
class Followed:
    """One followed model, as its follower last saw it.

    Attributes:
        uri: ``models:/NAME@ALIAS``.
        target: What to serve.
        refused: What the alias names, when that is not `target`.
        answers: Whether the registry answered when it was last asked.
        error: Why the registry does not answer, or that it knows no such alias; empty when all is well.
        answered: Seconds since 1970 when it last answered; None before the first time.
        passed: Digests that were found good, the latest last: going back to one of them needs no trial, and
            may take from clients what only its successor offered.
    """

    uri: str
    target: Target
    refused: Refused | None = None
    answers: bool = True
    error: str = ""
    answered: float | None = None
    passed: tuple[str, ...] = ()

    def report(self) -> dict[str, object]:
        """What clients may know of it: no paths of this machine."""
        registry = {"answers": self.answers, "error": self.error or None, "last_answer": self.answered}
        refused = asdict(self.refused) if self.refused else None
        return {"alias": self.uri, "refused": refused, "registry": registry}

    def to_json(self) -> bytes:
        """The file's content."""
        content = asdict(self)
        content["target"]["bundle"] = str(self.target.bundle)
        return json.dumps(content).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """The inverse of `to_json`; raises `ArtifactError` for anything else."""
        try:
            fields: dict[str, Any] = json.loads(content)
            target = Target(**fields["target"] | {"bundle": Path(fields["target"]["bundle"])})
            refused = Refused(**fields["refused"]) if fields["refused"] else None
            return cls(**fields | {"target": target, "refused": refused, "passed": tuple(fields["passed"])})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"not the state of a followed model: {error!r}") from None


def path_of(home: Path, index: int) -> Path:
    """The file of the model that stands at that place in the settings: names may hold what files may not."""
    return home / FOLDER / f"{index}.json"


def write(path: Path, followed: Followed) -> None:
    """Put the file in place of the one before. It need not outlive the machine, so nothing is synced."""
    path.parent.mkdir(exist_ok=True)
    aside = path.with_suffix(".new")
    aside.write_bytes(followed.to_json())
    aside.replace(path)


def read(path: Path) -> Followed | None:
    """What the file says; None while there is none.

    Raises:
        ArtifactError: it is not such a file.
    """
    try:
        return Followed.from_json(path.read_bytes())
    except FileNotFoundError:
        return None


class Glance:
    """Tells whether a file was replaced since the last look, in a few microseconds.

    Args:
        path: The file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None

    def changed(self) -> bool:
        """Whether it is another file than at the last call; True at the first, if there is one."""
        try:
            found = os.stat(self._path)
        except OSError:
            return False
        now = (found.st_ino, found.st_mtime_ns, found.st_size)
        if now == self._seen:
            return False
        self._seen = now
        return True
