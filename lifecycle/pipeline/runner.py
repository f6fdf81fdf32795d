"""Runs the stages of a pipeline in order, and none whose result is there already."""

from __future__ import annotations

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
from lifecycle.core.errors import UsageError
from lifecycle.core.stage import Context, Stage, Tracker
from lifecycle.pipeline.cache import look_up, stage_key


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
    data_fingerprint: Callable[[], str],
) -> list[Outcome]:
    """Run what has to be run.

    Args:
        stages: By name, in order.
        context: What they share; progress and budget are used as they are, the tracker is replaced.
        cache: Where artifacts are kept by stage and key.
        log: Records each stage.
        data_fingerprint: Of the project's data; called once.
    """
    check_order(stages)
    fingerprint = data_fingerprint()
    given: dict[str, Artifact] = {}
    outcomes = []
    for name, stage in stages.items():
        interrupt.check()
        inputs = {kind: given[kind] for kind in stage.consumes}
        key = stage_key(name, stage, inputs, context, fingerprint)
        with log.stage(name) as tracker:
            outcome = _run_one(name, stage, inputs, cache / name / key, replace(context, tracker=tracker))
            _record(tracker, outcome, stage, key)
        outcomes.append(outcome)
        given[outcome.artifact.kind] = outcome.artifact
        if outcome.artifact.kind == "checkpoint":
            baseline = context.baseline or outcome.artifact
            steps = {**context.steps, name: outcome.artifact}
            context = replace(context, baseline=baseline, steps=steps)
    return outcomes


def _run_one(
    name: str, stage: Stage, inputs: Mapping[str, Artifact], into: Path, context: Context
) -> Outcome:
    found, damage = look_up(into)
    if found is not None and stage.holds(found, context):
        context.progress.note(f"{name}: cached  {found.digest[:12]}")
        return Outcome(name=name, cached=True, seconds=0.0, artifact=found)
    if damage:
        context.progress.note(f"{name}: {damage}; it is built again")
        shutil.rmtree(into)
    started = time.monotonic()
    context.progress.note(f"{name}: running")
    artifact = stage.run(inputs, into, context)
    seconds = time.monotonic() - started
    context.progress.close()
    context.progress.note(
        f"{name}: done in {seconds:.1f} s  {artifact.digest[:12]}  {_headline(artifact)}".rstrip()
    )
    for unfinished in into.parent.glob(".*.work"):
        shutil.rmtree(unfinished, ignore_errors=True)
    return Outcome(name=name, cached=False, seconds=seconds, artifact=artifact)


def _record(tracker: Tracker, outcome: Outcome, stage: Stage, key: str) -> None:
    artifact = outcome.artifact
    tracker.set_tags(
        {
            "lifecycle.key": key,
            "lifecycle.digest": artifact.digest,
            "lifecycle.parent_digest": artifact.parent or "",
            "lifecycle.cached": str(outcome.cached).lower(),
        }
    )
    tracker.log_params(flatten(cast("dict[str, JSON]", asdict(cast("Any", stage)))))
    tracker.log_metrics(artifact.numbers())
    if not outcome.cached:
        tracker.log_artifacts(artifact.path, artifact.kind)


def flatten(options: Mapping[str, JSON], above: str = "") -> dict[str, JSON]:
    """Nested options under dotted names.

    >>> flatten({"trainer": {"max_epochs": 3}, "macs": 0.25})
    {'trainer.max_epochs': 3, 'macs': 0.25}
    """
    flat: dict[str, JSON] = {}
    for name, value in options.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{above}{name}.")
        else:
            flat[f"{above}{name}"] = value
    return flat


def _headline(artifact: Artifact) -> str:
    shown = artifact.facts.get("headline")
    names: Sequence[str] = [str(name) for name in shown] if isinstance(shown, list) else []
    values = artifact.numbers()
    return "  ".join(f"{name} {values[name]:.4g}" for name in names if name in values)
