"""Where the time of training steps went, as a table for people who look at a terminal."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from lifecycle.train.phases import PHASES
from lifecycle.train.step_report import StepReport
from lifecycle.train.tables import notes_wanted

log = logging.getLogger(__name__)


def rows_of(report: StepReport) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: a part of the step each, and the whole."""
    several = len(report.ranks) > 1
    headings = ["", "ms a batch", "share"] + (["least", "most", "rank"] if several else [])
    rows = []
    for phase in PHASES:
        if phase == "sync" and not several:
            continue
        row = [phase, _ms(report.ms(phase)), f"{report.ms(phase) / (report.step_ms or 1):.0%}"]
        if several:
            least, most, rank = report.extremes(phase)
            row += [_ms(least), _ms(most), str(rank) if most > least else ""]
        rows.append(row)
    rows.append(["whole", _ms(report.step_ms), "100%", *([""] * 3 if several else [])])
    return headings, rows


def lines_of(report: StepReport) -> list[str]:
    """What stands below the table."""
    batches = [rank.times.batches for rank in report.ranks]
    counted = str(batches[0]) if len(set(batches)) == 1 else f"{min(batches)} to {max(batches)}"
    of_each = " of each process" if len(batches) > 1 else ""
    lines = [
        f"{_rate(report.samples_per_sec)} samples/s, {_rate(report.batches_per_sec)} batches/s; "
        f"{counted} batches{of_each} were timed"
    ]
    if report.validation_s:
        lines.append(f"validations beside it: {report.validation_s:,.2f} s")
    if report.mfu is not None and report.peak_flops is not None:
        lines.append(f"model FLOPs utilisation: {report.mfu:.1%} of {report.peak_flops / 1e12:,.4g} TFLOP/s")
    memory = ", ".join(f"{size / 1e6:,.0f} MB {name}" for name, size in report.memory())
    lines.append(f"peak memory{' of the largest process' if len(batches) > 1 else ''}: {memory}")
    if len(batches) > 1:
        slowest, own = report.slowest, report.ranks[report.slowest].own_ms
        lines.append(
            f"rank {slowest} is the slowest: {_ms(own)} ms a batch of its own work, {_ms(report.lag_ms)} ms "
            + ("more than the others, which wait for it" if report.lags else "more than the others: even")
        )
    return lines


def show(report: StepReport, notes: Sequence[str] = ()) -> None:
    """Draw it on standard error, unless logging says that nobody wants to see it."""
    if not notes_wanted(log):
        return
    from rich.console import Console
    from rich.table import Table

    headings, rows = rows_of(report)
    table = Table()
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row, end_section=row is rows[-2])
    console = Console(stderr=True)
    console.print("where the time of training steps went", highlight=False)
    console.print(table)
    for line in (*lines_of(report), *notes):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _rate(value: float) -> str:
    return f"{value:,.1f}" if value >= 100 else f"{value:.3g}"


def _ms(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"
