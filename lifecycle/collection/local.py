"""Files of a workspace that nothing refers to: results in the cache, unfinished work, served copies."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from lifecycle.collection.items import Item, size_of
from lifecycle.collection.needed import Needed
from lifecycle.collection.retention import Retention
from lifecycle.core.artifact import FACTS, MANIFEST
from lifecycle.core.canonical import canonical_json, sha256
from lifecycle.workspace import Workspace


def cache_items(
    workspace: Workspace, needed: Needed, used: Iterable[tuple[str, str]], retention: Retention
) -> Iterator[Item]:
    """Results that neither a kept run used nor a kept version came from.

    Args:
        workspace: Whose cache.
        needed: What stays; results that it was made from stay too.
        used: Stage and key of what kept runs used.
        retention: How long they stay at least.
    """
    entries = {path: _read(path) for path in sorted(workspace.cache.glob("*/*")) if _is_entry(path)}
    kept = {workspace.cache / stage / key for stage, key in used}
    kept |= {path for path, (digest, _) in entries.items() if digest in needed.digests}
    by_digest = {digest: path for path, (digest, _) in entries.items()}
    waiting = list(kept & set(entries))
    while waiting:
        parent = by_digest.get(entries[waiting.pop()][1])
        if parent is not None and parent not in kept:
            kept.add(parent)
            waiting.append(parent)
    for path, (digest, _) in entries.items():
        if digest and (path in kept or _young(path, retention)):
            continue
        yield Item(
            kind="cache",
            name=f"{path.parent.name} {digest[:12] or path.name[:12]}",
            why="no kept run or version came from it" if digest else "damaged",
            address=str(path),
            size_bytes=size_of(path),
        )


def work_items(workspace: Workspace, retention: Retention) -> Iterator[Item]:
    """What killed runs would go on from, if anyone ran the same again."""
    for path in sorted(workspace.cache.glob("*/.*.work")):
        if not _young(path, retention):
            yield Item(
                kind="unfinished work",
                name=f"{path.parent.name} {path.name[1:13]}",
                why="nobody has gone on with it",
                address=str(path),
                size_bytes=size_of(path),
            )


def served_items(workspace: Workspace, needed: Needed, retention: Retention) -> Iterator[Item]:
    """Copies of versions that are gone, and what interrupted downloads left."""
    kept = {digest[:32] for digest in needed.digests}
    for path in sorted(workspace.served.glob("*")) + sorted(workspace.served.glob(".fetched-*")):
        whole = not path.name.startswith(".")
        if (whole and path.name.partition("-")[0] in kept) or _young(path, retention):
            continue
        yield Item(
            kind="served copy",
            name=path.name[:12],
            why="no version has this digest" if whole else "an interrupted download",
            address=str(path),
            size_bytes=size_of(path),
        )


def report_items(workspace: Workspace, runs: Iterable[str], retention: Retention) -> Iterator[Item]:
    """Pages of runs that are gone.

    Args:
        workspace: Whose reports.
        runs: Ids of the runs that stay.
        retention: How long they stay at least.
    """
    kept = set(runs)
    for path in sorted(workspace.reports.glob("*")):
        if path.name.rpartition("-")[2] not in kept and path.is_dir() and not _young(path, retention):
            yield Item(
                kind="report",
                name=path.name[:15],
                why="its run is gone",
                address=str(path),
                size_bytes=size_of(path),
            )


def _is_entry(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _read(path: Path) -> tuple[str, str]:
    """Digest and parent of a result, from its manifest and facts alone; empty where it is damaged."""
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        parent = json.loads((path / FACTS).read_bytes())["facts"].get("parent")
        whole = all((path / name).is_file() for name in manifest["files"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "", ""
    return (sha256(canonical_json(manifest)), parent or "") if whole else ("", "")


def _young(path: Path, retention: Retention) -> bool:
    newest = max([path.stat().st_mtime, *(each.stat().st_mtime for each in path.iterdir())])
    return newest > time.time() - 86400 * retention.days
