"""The fingerprint of a project's data, kept for as long as nothing that it was made from has changed.

Computing one imports the user's code and reads the data. What it came from is told without that: the sources
and arguments of the DataModule, the versions of what it imports, and size and time of every file it read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from lifecycle.core.canonical import JSON, canonical_json, sha256
from lifecycle.core.errors import NoFingerprintError
from lifecycle.core.reference import sources_digest
from lifecycle.core.stage import Project
from lifecycle.pipeline import libraries
from lifecycle.pipeline.definitions import definitions
from lifecycle.pipeline.journal import Journal, KeptFingerprint
from lifecycle.pipeline.observe import Seen, data_files, observing, stamp

_ENVIRONMENT = "${env:"  # stands in an argument for a variable, whose value is kept nowhere


def kept_fingerprint(project: Project, journal: Journal) -> str | None:
    """The fingerprint from the journal, if it holds; reads text and looks at files' sizes and times."""
    kept = journal.fingerprint(_identity(project))
    if kept is None or changed_files(project, journal):
        return None
    return kept.value


def changed_files(project: Project, journal: Journal) -> list[str]:
    """Files that were read for the kept fingerprint and are no longer what they were."""
    kept = journal.fingerprint(_identity(project))
    if kept is None:
        return []
    return [name for name, text in kept.stamps.items() if stamp(project.root / name) != text]


def find_fingerprint(
    project: Project, journal: Journal, compute: Callable[[], str], note: Callable[[str], None]
) -> str | None:
    """The fingerprint, kept or computed; None where the data has none, and then it is said why.

    Args:
        project: Whose data.
        journal: Where fingerprints are kept.
        compute: Imports the user's code and reads the data.
        note: Told what people should know.
    """
    kept = kept_fingerprint(project, journal)
    if kept is not None:
        return kept
    with observing() as seen:
        try:
            value = compute()
        except NoFingerprintError as error:
            note(f"data: not cached: {error.message}")
            return None
    if problem := _unwatchable(project, seen):
        note(f"data: {problem}: it is fingerprinted in every run")
        return value
    stamps = {**_named_files(project), **data_files(seen, project.root)}
    journal.keep(KeptFingerprint(identity=_identity(project), value=value, stamps=stamps))
    return value


def _unwatchable(project: Project, seen: Seen) -> str:
    """Why a change of the data could go unseen; empty where its files and what makes it can be watched."""
    if seen.network:
        return "read from another machine"
    if any(_ENVIRONMENT in text for text in _texts(cast("JSON", dict(project.data_args)))):
        return "its arguments come from the environment"
    return ""


def _identity(project: Project) -> str:
    """Hash of all that the fingerprint is made from, apart from files of data."""
    files = project.data.sources(project.root)
    sources: JSON = {name: definitions(path) for name, path in sorted(files.items())}
    identity: JSON = {
        "data": project.data.text,
        "data_args": dict(project.data_args),
        "sources": sources or sources_digest(project.root, project.data),
        "versions": libraries.versions(libraries.imported_libraries(files)),
        "code": libraries.own_code(),
    }
    return sha256(canonical_json(identity))


def _named_files(project: Project) -> dict[str, str]:
    """Files and folders that the arguments name: read or not, a change of theirs may be one of the data."""
    found = {}
    for text in _texts(cast("JSON", dict(project.data_args))):
        path = project.root / text
        if text and "\0" not in text and path != project.root and (stamped := _stamp(path)):
            found[text] = stamped
    return found


def _stamp(path: Path) -> str:
    try:
        return stamp(path) if path.exists() else ""
    except OSError:
        return ""  # no name of a file: too long, say


def _texts(value: JSON) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = (
        list(value.values())
        if isinstance(value, Mapping)
        else value
        if isinstance(value, list | tuple)
        else []
    )
    return [text for item in inner for text in _texts(item)]
