"""Drawings of one stage, as files of their own beside what it recorded: the ones that the page shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from lifecycle.core.secrets import mask
from lifecycle.core.stage import Tracker
from lifecycle.pipeline.runner import Outcome
from lifecycle.tracking import RecordedRun
from lifecycle.workspace import Workspace

if TYPE_CHECKING:
    from lifecycle.core.artifact import Artifact
    from lifecycle.report.page.curves import Curves

FOLDER = "plots"
Effects = Mapping[str, Sequence[tuple[str, float]]]


def log_plots(outcomes: Sequence[Outcome], workspace: Workspace, tracker: Tracker) -> None:
    """Draw what a stage has to show, and record it with its run as ``plots/….svg``.

    A stage that was cached has them with the run that did the work, but for what was looked into since.

    Args:
        outcomes: Of the run so far; the last is that of the stage.
        workspace: Keeps what `lifecycle sensitivity` found.
        tracker: Of the stage's run.
    """
    outcome = outcomes[-1]
    known = any(workspace.sensitivity.glob(f"{outcome.artifact.digest}-*.json"))
    if outcome.cached and not known:
        return
    from lifecycle.report.page.known import effects_of

    curves = {} if outcome.cached or not isinstance(tracker, RecordedRun) else tracker.points.curves()
    effects = effects_of(workspace, [outcome])
    drawn = dict(plots(outcome, {outcome.name: curves} if curves else {}, effects, _labels(outcomes)))
    if not drawn:
        return
    with TemporaryDirectory() as name:
        for file, svg in drawn.items():
            (Path(name) / f"{file}.svg").write_text(mask(svg))
        tracker.log_artifacts(Path(name), FOLDER)


def plots(
    outcome: Outcome, curves: Curves, effects: Effects, labels: Sequence[str] = ()
) -> Iterator[tuple[str, str]]:
    """Names and drawings: curves by quantity, sensitivity, parity, confusion and latency, where there is any.

    Args:
        outcome: Of the stage.
        curves: What it logged at its steps, below its name.
        effects: What single layers cost, by what was changed.
        labels: Of the classes, where the model tells classes apart.
    """
    from lifecycle.report.page.charts import bars_svg, lines_svg, standalone
    from lifecycle.report.page.curves import families, lines_of, stretches
    from lifecycle.report.page.models import timed_alone
    from lifecycle.report.page.parity import worst_errors

    for group, names in families(curves).items():
        lines = [each for each in lines_of(curves, names[:4]) if any(len(part) > 1 for part in each.parts)]
        if lines:
            title = f"{', '.join(line.name for line in lines)} over the steps of {outcome.name}"
            yield f"curve-{_filename(group)}", standalone(lines_svg(title, lines, stretches(curves)))
    for number, (title, rows) in enumerate(effects.items()):
        yield f"sensitivity-{number + 1}" if number else "sensitivity", standalone(bars_svg(title, rows[:20]))
    if outcome.cached:
        return
    if outcome.artifact.kind == "bundle" and (errors := worst_errors(_parity(outcome.artifact))):
        title = "Largest error of each output, as a share of what is allowed"
        yield "parity", standalone(bars_svg(title, errors))
    if outcome.artifact.kind == "evaluation":
        yield from _evaluated(outcome.artifact, tuple(labels))
        if times := timed_alone(outcome.artifact):
            title = "Median of a call in milliseconds, batch 1, one thread"
            yield "latency", standalone(bars_svg(title, times))


def _labels(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """What the classes are called, by the newest bundle."""
    from lifecycle.core.signature import Signature

    bundles = [each.artifact for each in outcomes if each.artifact.kind == "bundle"]
    return Signature.from_json(bundles[-1].read_json("signature.json")).labels if bundles else ()


def _evaluated(evaluation: Artifact, labels: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    from lifecycle.card.outcomes import read_outcomes
    from lifecycle.report.page.charts import standalone
    from lifecycle.report.page.confusion import MOST_CLASSES
    from lifecycle.report.page.matrix import matrix_svg
    from lifecycle.report.page.section import Matrix

    predictions = evaluation.read_json("predictions.json")
    outcomes = read_outcomes(predictions, "compressed")
    if outcomes is None or not 0 < len(labels) <= MOST_CLASSES:
        return
    counts = tuple(map(tuple, outcomes.matrix(len(labels))))
    matrix = Matrix(labels=labels, counts=counts)
    yield "confusion", standalone(matrix_svg("What the test samples were taken for", matrix))


def _parity(bundle: Artifact) -> dict[str, Any]:
    return cast("dict[str, Any]", bundle.read_json("parity.json"))


def _filename(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text)
