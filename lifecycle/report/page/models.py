"""Parts of the page about models: what compression did to them, and how long they take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lifecycle.core.artifact import Artifact
from lifecycle.core.canonical import JSON
from lifecycle.report.page.figures import COSTS, metric, milliseconds
from lifecycle.report.page.known import RunFacts
from lifecycle.report.page.section import Section
from lifecycle.report.page.table import Cell, Table, with_bars


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One number at the top.

    Attributes:
        name: What it is.
        cell: The number.
        note: What it was before, in a few words.
    """

    name: str
    cell: Cell
    note: str


def tiles(facts: RunFacts) -> list[Tile]:
    """The numbers that one looks for first; without an evaluation, those of the newest checkpoint."""
    evaluation = facts.artifact("evaluation")
    made = evaluation or facts.artifact("checkpoint")
    if made is None:
        return []
    now, before = made.numbers(), _dense(facts, made)
    found = [_metric_tile(facts, name, now, before) for name in _headline(made) if name in now]
    for name, label in (
        ("size_bytes", "ONNX file"),
        ("latency_ms", "a call, batch 1"),
        ("macs", "multiply-accumulates"),
    ):
        if name in now:
            note = ""
            if before.get(name) and before[name] != now[name]:
                times = before[name] / now[name]
                word = {"size_bytes": "smaller", "latency_ms": "faster", "macs": "fewer"}[name]
                note = f"× {times:.1f} {word} than dense" if times >= 1 else f"× {1 / times:.1f} of dense"
            found.append(Tile(name=label, cell=COSTS[name][1](now[name]), note=note))
    return found


def _metric_tile(facts: RunFacts, name: str, now: Mapping[str, float], before: Mapping[str, float]) -> Tile:
    outcomes = facts.known.outcomes
    note = f"dense {before[name]:.4f}" if name in before else ""
    if outcomes is not None and outcomes.is_accuracy(now[name]):
        low, high = outcomes.interval
        note = f"95 %: {low:.3f} to {high:.3f}{f'; {note}' if note else ''}"
    return Tile(name=name, cell=metric(now[name]), note=note)


def before_after(facts: RunFacts) -> Section | None:
    """The dense model beside the one that will be served."""
    evaluation = facts.artifact("evaluation")
    if evaluation is None:
        return None
    after, before = evaluation.numbers(), _dense(facts, evaluation)
    rows = []
    for name, value in after.items():
        if name in before and name not in COSTS:
            change = value - before[name]
            rows.append((Cell(name), metric(before[name]), metric(value), Cell(f"{change:+.4f}", change)))
    for name, (label, shown) in COSTS.items():
        if name in after and before.get(name):
            factor = after[name] / before[name]
            tone = "good" if factor < 0.995 else "bad" if factor > 1.005 else ""
            rows.append(
                (
                    Cell(label),
                    shown(before[name]),
                    shown(after[name]),
                    Cell(f"× {factor:.3f}", factor, None, tone),
                )
            )
    table = Table(
        caption="Dense and served model", columns=("", "dense", "served", "change"), rows=tuple(rows)
    )
    same = "Nothing was compressed: both are the same." if before == after else ""
    note = "On the test split. Latency: ONNX Runtime, batch 1, one thread."
    return Section(
        name="before-after",
        title="Before and after",
        texts=tuple(t for t in (note, same) if t),
        tables=(table,),
    )


def step_by_step(facts: RunFacts) -> Section | None:
    """Every step from the dense model to the one that will be served, each by its own file."""
    evaluation = facts.artifact("evaluation")
    steps = [step for step in _mappings(evaluation, "steps")]
    if evaluation is None or len(steps) < 2:
        return None
    names = [name for name in _headline(evaluation) if name in steps[0]]
    costs = [name for name in COSTS if name in steps[0]]
    rows = tuple(
        (
            Cell(str(step["step"])),
            *(metric(_number(step.get(name))) for name in names),
            *(COSTS[name][1](_number(step.get(name))) for name in costs),
        )
        for step in steps
    )
    table = Table(
        caption="From the dense model to the served one",
        columns=("step", *names, *(COSTS[name][0] for name in costs)),
        rows=rows,
    )
    first = 1 + len(names)
    return Section(
        name="steps", title="Step by step", tables=(with_bars(table, range(first, first + len(costs))),)
    )


def latencies(facts: RunFacts) -> Section | None:
    """Every form of the model, by batch and threads."""
    evaluation = facts.artifact("evaluation")
    groups: dict[tuple[str, str], list[tuple[Cell, ...]]] = {}
    eager = 0.0
    for timing in _mappings(evaluation, "timings"):
        median, p95 = _number(timing.get("median_ms")) or 0.0, _number(timing.get("p95_ms"))
        if timing["form"] == "dense, PyTorch":
            eager = median  # the others of the same batch and threads follow it
        times = eager / median if median else 0.0
        row = (
            Cell(str(timing["form"])),
            milliseconds(median),
            milliseconds(p95),
            Cell(f"× {times:.2f}", times),
        )
        groups.setdefault((str(timing["batch"]), str(timing["threads"])), []).append(row)
    tables = tuple(
        with_bars(
            Table(
                caption=f"Batch {batch}, {threads} thread{'s' if threads != '1' else ''}",
                columns=("", "median", "95th percentile", "than dense PyTorch"),
                rows=tuple(rows),
            ),
            [1],
        )
        for (batch, threads), rows in groups.items()
    )
    return Section(name="latency", title="Latency", tables=tables) if tables else None


def timed_alone(evaluation: Artifact) -> list[tuple[str, float]]:
    """The median of a call of each form of the model, of one sample on one thread, in milliseconds."""
    return [
        (str(timing["form"]), median)
        for timing in _mappings(evaluation, "timings")
        if (timing.get("batch"), timing.get("threads")) == (1, 1)
        and (median := _number(timing.get("median_ms"))) is not None
    ]


def _headline(artifact: Artifact) -> list[str]:
    names = artifact.facts.get("headline")
    return [str(name) for name in names] if isinstance(names, list) else []


def _dense(facts: RunFacts, made: Artifact) -> dict[str, float]:
    dense = made.facts.get("dense")
    if isinstance(dense, Mapping):
        return {name: float(value) for name, value in dense.items() if isinstance(value, int | float)}
    first = facts.known.first
    return first.numbers() if first is not None and first.digest != made.digest else {}


def _mappings(artifact: Artifact | None, name: str) -> Iterator[Mapping[str, JSON]]:
    found = artifact.facts.get(name) if artifact is not None else None
    yield from (each for each in (found if isinstance(found, list) else []) if isinstance(each, Mapping))


def _number(value: JSON) -> float | None:
    return float(value) if isinstance(value, int | float) else None
