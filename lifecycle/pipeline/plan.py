"""What a run would do and why, without doing any of it: read from sources and the journal, as text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lifecycle.core.artifact import FACTS, MANIFEST, open_artifact
from lifecycle.core.canonical import canonical_json, sha256
from lifecycle.core.errors import ArtifactError
from lifecycle.core.stage import Stage
from lifecycle.pipeline.journal import Entry, Journal
from lifecycle.pipeline.keys import Basis, Setting, basis_of, is_cacheable, key_of
from lifecycle.pipeline.reasons import MISSING, NEVER, NO_FINGERPRINT, UPSTREAM, differences

ABOVE = "(of a stage that runs)"  # stands for a digest that is not known yet
_READ_WHOLE_BYTES = 16_000_000


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What would become of one stage.

    Attributes:
        stage: Its name.
        action: ``run``, ``resume`` where an unfinished try goes on, or ``cached``.
        reasons: Why it runs, the most telling first.
        last_s: How long it took last, in seconds; None if it never ran.
        digest: Of the result that is there.
    """

    stage: str
    action: Literal["run", "resume", "cached"]
    reasons: tuple[str, ...]
    last_s: float | None
    digest: str | None = None


def plan_stages(
    stages: Mapping[str, Stage], setting: Setting, *, cache: Path, journal: Journal
) -> list[Planned]:
    """What would become of each stage.

    The stages below one that runs are taken to run too. When it comes to that, a stage whose upstream has
    made the same bytes again is not run.

    Args:
        stages: By name, in order.
        setting: What they all depend on.
        cache: Where artifacts are kept by stage and key.
        journal: What ran before.
    """
    digests: dict[str, str] = {}
    baseline: str | None = None
    planned = []
    for name, stage in stages.items():
        inputs = {kind: digests[kind] for kind in stage.consumes}
        basis = basis_of(name, stage, setting, inputs, baseline)
        one = _plan_one(name, basis, setting.project.name, cache, journal)
        planned.append(one)
        digests[stage.produces] = one.digest or ABOVE
        if stage.produces == "checkpoint":
            baseline = baseline or digests[stage.produces]
    return planned


def estimate(planned: Sequence[Planned]) -> tuple[float, int]:
    """Seconds that the stages which run took last, and how many of them never ran."""
    due = [each for each in planned if each.action != "cached"]
    return sum(each.last_s or 0.0 for each in due), sum(each.last_s is None for each in due)


def why(basis: Basis, entries: Sequence[Entry]) -> list[str]:
    """The least that sets a basis apart from those that ran; empty where one ran that was the same."""
    if not entries:
        return [NEVER]
    found = [differences(entry.basis, basis) for entry in reversed(entries)]
    return min(found, key=len)


def last_seconds(entries: Sequence[Entry]) -> float | None:
    """How long a stage took last, in one go if it ever did; None where nobody knows."""
    timed = [entry for entry in entries if entry.seconds is not None]
    whole = [entry for entry in timed if not entry.resumed]
    return (whole or timed)[-1].seconds if timed else None


def _plan_one(name: str, basis: Basis, pipeline: str, cache: Path, journal: Journal) -> Planned:
    entries = journal.entries(pipeline, name)
    last = last_seconds(entries)
    key = key_of(basis)
    folder = cache / name / key
    known = ABOVE not in (basis.get("baseline"), *dict(_inputs(basis)).values())
    reasons = why(basis, entries)
    if known:
        digest, problem = _digest_of(folder)
        if digest is not None and is_cacheable(basis):
            return Planned(stage=name, action="cached", reasons=(), last_s=last, digest=digest)
        ran = any(entry.key == key for entry in entries)
        if problem or (ran and not reasons):
            reasons = [problem or MISSING]
    unfinished = known and is_unfinished(folder)
    if not is_cacheable(basis):
        reasons = [NO_FINGERPRINT]
    if not known and UPSTREAM not in reasons and reasons != [NEVER]:
        reasons.append(UPSTREAM)
    return Planned(
        stage=name,
        action="resume" if unfinished else "run",
        reasons=tuple(reasons),
        last_s=last,
    )


def _inputs(basis: Basis) -> Mapping[str, object]:
    inputs = basis["inputs"]
    return inputs if isinstance(inputs, Mapping) else {}


def is_unfinished(folder: Path) -> bool:
    """Whether a try that was stopped left work to go on with."""
    work = folder.with_name(f".{folder.name}.work")
    return work.is_dir() and any(path.is_file() for path in work.rglob("*"))


def _digest_of(folder: Path) -> tuple[str | None, str]:
    """The digest of an artifact that stands whole; else what is wrong.

    Of large files only names and sizes are looked at: reading every byte is for the run.
    """
    if not folder.exists():
        return None, ""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        listing = manifest["files"]
        sizes = {name: (folder / name).stat().st_size for name in listing}
        whole = all(sizes[name] == entry["size"] for name, entry in listing.items())
        present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None, MISSING
    if not whole or present != {*listing, MANIFEST, FACTS}:
        return None, MISSING
    if sum(sizes.values()) <= _READ_WHOLE_BYTES:
        try:
            open_artifact(folder)
        except ArtifactError:
            return None, MISSING
    return sha256(canonical_json(manifest)), ""
