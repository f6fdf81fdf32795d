"""Curves of training: what was logged at each step, by stage, from the runs that did the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lifecycle.card.compose import COSTS
from lifecycle.pipeline.runner import Outcome
from lifecycle.report.page.charts import Line, Points, Stretch

if TYPE_CHECKING:
    from mlflow import MlflowClient

Curves = Mapping[str, Mapping[str, Points]]
"""By stage and metric: steps and values."""

MACHINE = "system/"  # what a stage took of processor and memory
SPLITS = ("train", "val", "valid", "validation")
_LONGEST = 100_000
_MOST_ROWS = 60  # of a table of values by step


def find_curves(client: MlflowClient, experiment: str, outcomes: Sequence[Outcome]) -> Curves:
    """The curves of every stage that fits a model; a cached one's come from the run that made it.

    Args:
        client: Connected to the tracking store.
        experiment: Its id.
        outcomes: Of this run.
    """
    found: dict[str, Mapping[str, Points]] = {}
    for outcome in outcomes:
        if outcome.artifact.kind != "checkpoint":
            continue
        query = f"tags.`lifecycle.digest` = '{outcome.artifact.digest}' AND tags.`lifecycle.cached` = 'false'"
        runs = client.search_runs([experiment], query, max_results=1, order_by=["start_time DESC"])
        if runs:
            names = [
                name
                for name in runs[0].data.metrics
                if name not in (*COSTS, "epoch") and not name.startswith(MACHINE)
            ]
            curves = {name: _points(client, runs[0].info.run_id, name) for name in names}
            if any(curves.values()):
                found[outcome.name] = {name: points for name, points in curves.items() if points}
    return found


def _points(client: MlflowClient, run_id: str, name: str) -> Points:
    history = client.get_metric_history(run_id, name)[:_LONGEST]
    history.sort(key=lambda point: (point.timestamp, point.step))
    if len(history) > 1 and history[-1].step == history[-2].step:
        del history[-1]  # what the stage says of its result when it has ended
    # Attempts that were undone count their steps from the same start: the last one stays.
    return tuple(sorted({point.step: point.value for point in history}.items()))


def spread(points: Points) -> Points:
    """As many of them as a table shows, the last among them."""
    step = -(-len(points) // _MOST_ROWS)
    return points if step <= 1 else (*points[:-1:step], points[-1])


def families(curves: Curves) -> dict[str, list[str]]:
    """Metrics that belong in one chart: the same quantity of different splits.

    >>> families({"train": {"train_loss": (), "val_loss": (), "val_acc": ()}})
    {'loss': ['train_loss', 'val_loss'], 'acc': ['val_acc']}
    """
    found: dict[str, list[str]] = {}
    for metrics in curves.values():
        for name in metrics:
            split, _, rest = name.partition("_")
            group = rest if split in SPLITS and rest else name
            if name not in found.setdefault(group, []):
                found[group].append(name)
    return found


def stretches(curves: Curves) -> list[Stretch]:
    """Where each stage lies when they are drawn one after another."""
    found: list[Stretch] = []
    for stage, metrics in curves.items():
        start = found[-1].end if found else 0.0
        last = max((point[0] for points in metrics.values() for point in points), default=0.0)
        found.append(Stretch(name=stage, start=start, end=start + last + 1))
    return found


def lines_of(curves: Curves, names: Sequence[str]) -> list[Line]:
    """Lines of some metrics over all stages."""
    starts = {stretch.name: stretch.start for stretch in stretches(curves)}
    return [
        Line(
            name=name,
            parts=tuple(
                tuple((starts[stage] + step, value) for step, value in metrics[name])
                for stage, metrics in curves.items()
                if metrics.get(name)
            ),
        )
        for name in names
    ]
