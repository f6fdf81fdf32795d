"""What travels between stages: a directory that says what it holds and proves it.

``manifest.json`` lists every file with its SHA-256 and the kind; the digest of an artifact is the
SHA-256 of that manifest's canonical JSON, so the same bytes have the same digest wherever and
whenever they were made. ``facts.json`` lies beside it with a checksum of its own: where the
artifact came from and what was measured on it, which must not change what it *is*.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from lifecycle.core.canonical import JSON, canonical_json, finite, readable_json, sha256, sha256_file, sync
from lifecycle.core.errors import ArtifactError

MANIFEST = "manifest.json"
FACTS = "facts.json"


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A verified directory.

    Attributes:
        kind: What it holds; ``checkpoint``, ``bundle``, ``evaluation``, ``version`` or a plug-in's own.
        path: The directory.
        digest: SHA-256 over kind and files, 64 hexadecimal digits.
        parent: Digest of the artifact that it was made from.
        facts: Metrics, latencies, config, versions, times: about the files, not part of the digest.
    """

    kind: str
    path: Path
    digest: str
    parent: str | None
    facts: Mapping[str, JSON]

    def file(self, name: str) -> Path:
        """The path of one file; raises `ArtifactError` when the artifact has none of that name."""
        path = self.path / name
        if not path.is_file():
            present = ", ".join(sorted(str(p.relative_to(self.path)) for p in _files(self.path)))
            raise ArtifactError(f"{self.kind} {self.digest[:12]} has no file {name!r}; it has: {present}")
        return path

    def numbers(self) -> dict[str, float]:
        """What was measured on it: the numbers in ``facts["metrics"]``."""
        metrics = self.facts.get("metrics")
        found = metrics if isinstance(metrics, Mapping) else {}
        return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}

    def read_json(self, name: str) -> dict[str, JSON]:
        """One JSON object of the artifact."""
        content: dict[str, JSON] = json.loads(self.file(name).read_bytes())
        return content


class Draft:
    """A directory in the making, beside its destination: sealed it appears whole, abandoned it is removed.

    Use as ``with Draft(into) as draft: …write below draft.path…; return draft.seal("checkpoint")``.
    """

    def __init__(self, into: Path) -> None:
        self.into = into
        self.path = into.with_name(f".{into.name}.{os.getpid()}.draft")

    def __enter__(self) -> Draft:
        self.into.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def seal(
        self, kind: str, *, parent: Artifact | None = None, facts: Mapping[str, JSON] | None = None
    ) -> Artifact:
        """Write manifest and facts, sync everything, and rename into place.

        An artifact that stands there already is replaced: whoever asks for it again has found it
        missing or damaged.
        """
        listing: dict[str, JSON] = {
            path.relative_to(self.path).as_posix(): {"sha256": sha256_file(path), "size": path.stat().st_size}
            for path in sorted(_files(self.path))
        }
        manifest: dict[str, JSON] = {"format": 1, "kind": kind, "files": listing}
        known = finite(dict(facts or {}) | {"parent": parent.digest if parent else None})
        (self.path / MANIFEST).write_bytes(readable_json(manifest))
        (self.path / FACTS).write_bytes(
            readable_json({"facts": known, "sha256": sha256(canonical_json(known))})
        )
        for path in _files(self.path):
            sync(path)
        sync(self.path)
        shutil.rmtree(self.into, ignore_errors=True)
        self.path.rename(self.into)
        sync(self.into.parent)
        return open_artifact(self.into)


def open_artifact(path: Path, kind: str | None = None) -> Artifact:
    """Read a directory and verify every byte of it.

    Args:
        path: The directory.
        kind: The kind that is expected, when only one will do.

    Raises:
        ArtifactError: it is missing, incomplete, altered, or of another kind; the file is named.
    """
    manifest_path = path / MANIFEST
    if not manifest_path.is_file():
        there = f"it has no {MANIFEST}" if path.exists() else "there is no such folder"
        raise ArtifactError(f"{path} is not an artifact: {there}")
    manifest = _object(manifest_path)
    files = manifest.get("files")
    found = manifest.get("kind")
    if manifest.get("format") != 1 or not isinstance(files, dict) or not isinstance(found, str):
        raise ArtifactError(f"{manifest_path} is not a manifest of format 1")
    if kind is not None and found != kind:
        raise ArtifactError(f"{path} holds a {found}, but a {kind} is needed")
    _verify_files(path, files)
    facts = _verified_facts(path)
    parent = facts.get("parent")
    return Artifact(
        kind=found,
        path=path,
        digest=sha256(canonical_json(manifest)),
        parent=parent if isinstance(parent, str) else None,
        facts=facts,
    )


def _verify_files(path: Path, listing: Mapping[str, JSON]) -> None:
    present = {p.relative_to(path).as_posix() for p in _files(path)} - {MANIFEST, FACTS}
    for name in sorted(present ^ set(listing)):
        state = "is missing" if name in listing else "was added"
        raise ArtifactError(f"artifact {path} was altered: {name} {state}", hint=_REBUILD)
    for name, entry in listing.items():
        expected = entry.get("sha256") if isinstance(entry, Mapping) else None
        if sha256_file(path / name) != expected:
            raise ArtifactError(
                f"artifact {path} was altered: {name} differs from its SHA-256", hint=_REBUILD
            )


def _verified_facts(path: Path) -> dict[str, JSON]:
    facts_path = path / FACTS
    if not facts_path.is_file():
        raise ArtifactError(f"artifact {path} was altered: {FACTS} is missing", hint=_REBUILD)
    content = _object(facts_path)
    facts = content.get("facts")
    if not isinstance(facts, dict) or sha256(canonical_json(facts)) != content.get("sha256"):
        raise ArtifactError(f"artifact {path} was altered: {FACTS} differs from its SHA-256", hint=_REBUILD)
    return facts


def _object(path: Path) -> dict[str, JSON]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ArtifactError(
            f"artifact {path.parent} was altered: {path.name} is not JSON ({error})"
        ) from None
    if not isinstance(content, dict):
        raise ArtifactError(f"artifact {path.parent} was altered: {path.name} is not a JSON object")
    return content


def _files(path: Path) -> list[Path]:
    """Regular files below; a link could point outside what the digest covers."""
    found = []
    for entry in path.rglob("*"):
        if entry.is_symlink():
            raise ArtifactError(f"artifact {path} holds a link: {entry.relative_to(path)}", hint=_REBUILD)
        if entry.is_file():
            found.append(entry)
    return found


_REBUILD = "Run the pipeline again to rebuild it, or restore the folder from a copy."
