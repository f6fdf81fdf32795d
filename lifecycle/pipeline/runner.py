"""Runs the stages of a pipeline in order, and none whose result is there already."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast

from lifecycle.core import interrupt
from lifecycle.core.artifact import Artifact
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.core.reference import place_in_project
from lifecycle.core.stage import Context, Stage, Tracker
from lifecycle.pipeline.cache import look_up
from lifecycle.pipeline.journal import Entry, Journal, now
from lifecycle.pipeline.keys import Basis, basis_of, is_cacheable, key_of, setting_of_context
from lifecycle.pipeline.plan import is_unfinished, why, work_of
from lifecycle.pipeline.reasons import MISSING, NEVER, flatten


class RunLog(Protocol):
    """Opens a record for each stage; it notes how the stage ends."""

    def stage(self, name: str) -> AbstractContextManager[Tracker]:
        """A place to record one stage."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one stage.

    Attributes:
        name: The stage.
        cached: Whether its result was there already.
        seconds: How long it took.
        artifact: The result.
    """

    name: str
    cached: bool
    seconds: float
    artifact: Artifact


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a run ended before its last stage.

    Attributes:
        stage: That was at work.
        message: What was wrong.
        hint: What to do; empty where nobody knows.
    """

    stage: str
    message: str
    hint: str = ""


def failure_of(stages: Mapping[str, Stage], outcomes: Sequence[Outcome], error: Exception) -> Failure:
    """What an error ended: the stage after the last that came to its end."""
    stage = [*stages][min(len(outcomes), len(stages) - 1)]
    if isinstance(error, LifecycleError):
        return Failure(stage=stage, message=error.message, hint=error.hint)
    place = place_in_project(error)
    where = f", raised at {place}" if place else ""
    return Failure(stage=stage, message=f"{type(error).__name__}: {error}{where}")


def check_order(stages: Mapping[str, Stage]) -> None:
    """Make sure that every stage finds what it consumes.

    Raises:
        UsageError: names the stage and the kind that nothing before it makes.
    """
    made: set[str] = set()
    for name, stage in stages.items():
        for kind in stage.consumes:
            if kind not in made:
                raise UsageError(
                    f"stage '{name}' needs a {kind}, and no stage before it makes one; "
                    f"the order is: {', '.join(stages)}"
                )
        made.add(stage.produces)


def run_stages(
    stages: Mapping[str, Stage],
    context: Context,
    *,
    cache: Path,
    log: RunLog,
    journal: Journal,
    data_fingerprint: Callable[[], str | None],
    ended: Callable[[Outcome, Tracker], object] = lambda outcome, tracker: None,
) -> list[Outcome]:
    """Run what has to be run.

    Args:
        stages: By name, in order.
        context: What they share; progress and budget are used as they are, the tracker is replaced.
        cache: Where artifacts are kept by stage and key.
        log: Records each stage.
        journal: What ran before; tells why a stage runs, and is told that it did.
        data_fingerprint: Of the project's data; called once. None: results are not reused.
        ended: Told of every stage when it has ended, and where to record more of it.
    """
    check_order(stages)
    setting = setting_of_context(context, data_fingerprint())
    given: dict[str, Artifact] = {}
    outcomes = []
    for name, stage in stages.items():
        interrupt.check()
        inputs = {kind: given[kind] for kind in stage.consumes}
        digests = {kind: artifact.digest for kind, artifact in inputs.items()}
        baseline = context.baseline.digest if context.baseline else None
        basis = basis_of(name, stage, setting, digests, baseline)
        key = key_of(basis)
        with log.stage(name) as tracker:
            work = _Work(name, stage, inputs, cache / name / key, replace(context, tracker=tracker))
            outcome = work.done(basis, journal)
            _record(tracker, outcome, stage, basis)
            ended(outcome, tracker)
        outcomes.append(outcome)
        given[outcome.artifact.kind] = outcome.artifact
        if outcome.artifact.kind == "checkpoint":
            baseline_artifact = context.baseline or outcome.artifact
            steps = {**context.steps, name: outcome.artifact}
            context = replace(context, baseline=baseline_artifact, steps=steps)
    return outcomes


@dataclass(frozen=True)
class _Work:
    """One stage of a run: its result, found or made."""

    name: str
    stage: Stage
    inputs: Mapping[str, Artifact]
    into: Path
    context: Context

    def done(self, basis: Basis, journal: Journal) -> Outcome:
        entries = journal.entries(self.context.project.name, self.name)
        reasons = why(basis, entries)
        if is_cacheable(basis):
            found, damage = look_up(self.into)
            if found is not None and self.stage.holds(found, self.context):
                self.context.progress.note(f"{self.name}: cached  {found.digest[:12]}")
                if all(entry.key != self.into.name for entry in entries):  # killed before it was written down
                    journal.add(self._entry(basis, found, None, resumed=False))
                shutil.rmtree(work_of(self.into), ignore_errors=True)  # or killed before this was tidied up
                return Outcome(name=self.name, cached=True, seconds=0.0, artifact=found)
            if damage:
                self.context.progress.note(f"{self.name}: {damage}; it is built again")
                shutil.rmtree(self.into)
            if not reasons:
                reasons = [MISSING]
        resumed = is_unfinished(self.into)
        self._say(reasons, resumed=resumed)
        started = time.monotonic()
        artifact = self.stage.run(self.inputs, self.into, self.context)
        seconds = time.monotonic() - started
        journal.add(self._entry(basis, artifact, round(seconds, 3), resumed=resumed))
        return self._finished(artifact, seconds)

    def _entry(self, basis: Basis, artifact: Artifact, seconds: float | None, *, resumed: bool) -> Entry:
        return Entry(
            pipeline=self.context.project.name,
            stage=self.name,
            key=self.into.name,
            basis=basis,
            digest=artifact.digest,
            seconds=seconds,
            resumed=resumed,
            at=now(),
        )

    def _say(self, reasons: Sequence[str], *, resumed: bool) -> None:
        verb = "going on" if resumed else "running"
        why_it_runs = f": {'; '.join(reasons)}" if reasons and list(reasons) != [NEVER] else ""
        self.context.progress.note(f"{self.name}: {verb}{why_it_runs}")

    def _finished(self, artifact: Artifact, seconds: float) -> Outcome:
        progress = self.context.progress
        progress.close()
        progress.note(
            f"{self.name}: done in {seconds:.1f} s  {artifact.digest[:12]}  {_headline(artifact)}".rstrip()
        )
        for unfinished in self.into.parent.glob(".*.work"):
            shutil.rmtree(unfinished, ignore_errors=True)
        return Outcome(name=self.name, cached=False, seconds=seconds, artifact=artifact)


def _record(tracker: Tracker, outcome: Outcome, stage: Stage, basis: Basis) -> None:
    artifact = outcome.artifact
    tracker.set_tags(
        {
            "lifecycle.key": key_of(basis),
            "lifecycle.digest": artifact.digest,
            "lifecycle.parent_digest": artifact.parent or "",
            "lifecycle.cached": str(outcome.cached).lower(),
            "lifecycle.data": str(basis.get("fingerprint") or ""),
            "lifecycle.versions": json.dumps(basis["versions"]),
        }
    )
    tracker.log_params(flatten(cast("dict[str, JSON]", asdict(cast("Any", stage)))))
    tracker.log_metrics(artifact.numbers())
    if not outcome.cached:
        tracker.log_artifacts(artifact.path, artifact.kind)


def _headline(artifact: Artifact) -> str:
    shown = artifact.facts.get("headline")
    names: Sequence[str] = [str(name) for name in shown] if isinstance(shown, list) else []
    values = artifact.numbers()
    return "  ".join(f"{name} {values[name]:.4g}" for name in names if name in values)
