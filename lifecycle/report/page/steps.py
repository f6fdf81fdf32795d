"""Where the time of training steps went, as `lifecycle.callbacks.StepTimer` has logged it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import mean

from lifecycle.report.page.charts import Points, lines_svg
from lifecycle.report.page.curves import Curves, lines_of, spread, stretches
from lifecycle.report.page.figures import milliseconds
from lifecycle.report.page.section import Chart, Section
from lifecycle.report.page.table import Cell, Table, with_bars

PREFIXES = ("time/", "throughput/", "memory/")
_PARTS = ("data", "transfer", "sync", "forward", "backward", "optimizer", "rest", "step")
_DRAWN = ("data", "forward", "backward", "optimizer")
_OTHERS = {
    "throughput/samples_per_sec": ("samples a second", "{:,.1f}", 1.0),
    "throughput/batches_per_sec": ("batches a second", "{:,.2f}", 1.0),
    "throughput/mfu": ("model FLOPs utilisation", "{:.1f} %", 100.0),
    "memory/allocated_peak_mb": ("peak memory allocated on the device", "{:,.0f} MB", 1.0),
    "memory/reserved_peak_mb": ("peak memory reserved on the device", "{:,.0f} MB", 1.0),
    "memory/resident_peak_mb": ("peak resident memory of a process", "{:,.0f} MB", 1.0),
    "time/slowest_rank": ("slowest rank, when last asked", "{:.0f}", 1.0),
    "time/lag_ms": ("its own work beyond that of the others", "{:.3f} ms a batch", 1.0),
}
_LAST = ("memory/", "time/slowest_rank")  # what grows, and what is no quantity, has no mean


def steps(curves: Curves) -> Section | None:
    """The parts of a batch by stage, and what else was measured; None where nobody did."""
    timed = {stage: metrics for stage, metrics in curves.items() if metrics.get("time/step_ms")}
    if not timed:
        return None
    columns = ("part of a batch", *timed)
    rows = tuple(
        ("whole" if part == "step" else part, [metrics.get(f"time/{part}_ms") for metrics in timed.values()])
        for part in _PARTS
    )
    split = Table(
        caption="Milliseconds of a batch, the mean of all reports",
        columns=columns,
        rows=tuple(
            (Cell(name), *(milliseconds(_mean(points)) for points in found))
            for name, found in rows
            if any(found)
        ),
    )
    others = Table(
        caption="Throughput, memory and processes",
        columns=("", *timed),
        rows=tuple(
            (Cell(title), *(_cell(metrics, name, form, scale) for metrics in timed.values()))
            for name, (title, form, scale) in _OTHERS.items()
            if any(metrics.get(name) for metrics in timed.values())
        ),
    )
    return Section(
        name="steps",
        title="Where the time of training went",
        charts=_chart(timed),
        tables=(with_bars(split, range(1, len(columns))), others),
    )


def without_steps(curves: Curves) -> Curves:
    """Curves of what was learned."""
    return {
        stage: {name: points for name, points in metrics.items() if not name.startswith(PREFIXES)}
        for stage, metrics in curves.items()
    }


def _chart(timed: Curves) -> tuple[Chart, ...]:
    names = [f"time/{part}_ms" for part in _DRAWN]
    lines = [
        replace(line, name=line.name.removeprefix("time/").removesuffix("_ms"))
        for line in lines_of(timed, names)
    ]
    if not any(len(part) > 1 for line in lines for part in line.parts):
        return ()
    rows = tuple(
        (Cell(stage), Cell(name), Cell(f"{step:g}", step), milliseconds(value))
        for stage, metrics in timed.items()
        for name in names
        for step, value in spread(metrics.get(name, ()))
    )
    table = Table(
        caption="Parts of a batch by step", columns=("stage", "part", "step", "milliseconds"), rows=rows
    )
    title = f"milliseconds of a batch over the steps of {', '.join(timed)}"
    return (
        Chart(title="milliseconds of a batch", svg=lines_svg(title, lines, stretches(timed)), table=table),
    )


def _mean(points: Points | None) -> float | None:
    return mean(value for _, value in points) if points else None


def _cell(metrics: Mapping[str, Points], name: str, form: str, scale: float) -> Cell:
    points = metrics.get(name)
    if not points:
        return Cell("")
    value = points[-1][1] if name.startswith(_LAST) else mean(value for _, value in points)
    return Cell(form.format(value * scale), value)
