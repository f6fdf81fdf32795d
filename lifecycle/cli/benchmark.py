"""``lifecycle benchmark``: bundles, formats and thread counts side by side on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifecycle.cli.options import json_option
from lifecycle.cli.output import print_json, print_note, print_table, print_text
from lifecycle.cli.verb import Verb
from lifecycle.core.errors import UsageError
from lifecycle.core.progress import terminal_progress

if TYPE_CHECKING:
    from lifecycle.report.benchmark import Benchmark


@click.command(
    cls=Verb,
    examples="""
    lifecycle benchmark .lifecycle/cache/1f2e3d4c5b6a
        Every format of a bundle.
    lifecycle benchmark dense pruned --threads 1,2,4 --plot latency.svg
        Two bundles, with one, two and four threads each.
    lifecycle benchmark dense pruned --score pipeline.yaml
        The fastest whose test score is no worse.
    """,
)
@click.argument("artifacts", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="ARTIFACT...")
@click.option("--format", "names", multiple=True, help="Only this format; again for more.")
@click.option("--threads", default="1", show_default=True, help="Numbers of threads to try, such as 1,2,4.")
@click.option("--calls", default=200, show_default=True, help="How often each is timed.")
@click.option("--batch", default=1, show_default=True, help="Samples in a timed call.")
@click.option(
    "--score", type=click.Path(path_type=Path), help="A pipeline file: score every file on its test split."
)
@click.option("--metric", help="What to score by, of what test_step logs. [its last]")
@click.option(
    "--max-drop", default=0.01, show_default=True, help="How much worse than the first a file may be."
)
@click.option("--plot", type=click.Path(path_type=Path), help="Write a plot to this SVG file.")
@json_option
def benchmark(
    artifacts: tuple[Path, ...],
    names: tuple[str, ...],
    threads: str,
    calls: int,
    batch: int,
    score: Path | None,
    metric: str | None,
    max_drop: float,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Compare the files of the bundles in ARTIFACT..., each a folder that an export made.

    Files are called in turn, warmed up; the first is what the others are compared with. The last line names
    the fastest that keeps its quality.
    """
    from lifecycle import verbs
    from lifecycle.report.benchmark import COST_COLUMNS, LATENCY_COLUMNS

    found = verbs.benchmark(
        *artifacts,
        formats=names,
        threads=_numbers(threads),
        calls=calls,
        batch=batch,
        score=score,
        metric=metric,
        max_drop=max_drop,
        progress=terminal_progress(),
    )
    if plot is not None:
        _draw(found, plot)
    if as_json:
        print_json(found.to_json())
        return
    print_table(f"Latency: batch {batch}, {calls} calls in turn", LATENCY_COLUMNS, found.latency_table())
    print_table("Start, size and quality", COST_COLUMNS, found.cost_table())
    print_text(found.verdict())


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise UsageError(f"--threads is '{text}'; expected numbers such as 1,2,4") from None


def _draw(found: Benchmark, path: Path) -> None:
    from lifecycle.core.canonical import write_whole
    from lifecycle.report.intervals import Bar, intervals_svg

    bars = [
        Bar(
            label=row.candidate.key,
            value=row.latency.median_ms,
            low=row.latency.low_ms,
            high=row.latency.high_ms,
            chosen=row is found.fastest,
        )
        for row in found.rows
    ]
    write_whole(path, intervals_svg("Median latency with its 95 % interval", "ms", bars).encode())
    print_note(f"plot: {path}")
