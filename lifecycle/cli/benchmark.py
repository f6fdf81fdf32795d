"""``lifecycle benchmark``: bundles, formats and thread counts side by side on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifecycle.cli.options import json_option
from lifecycle.cli.output import print_json, print_note, print_table, print_text
from lifecycle.cli.verb import Verb
from lifecycle.core.errors import ArtifactError, UsageError
from lifecycle.core.progress import terminal_progress

if TYPE_CHECKING:
    from lifecycle.core.artifact import Artifact
    from lifecycle.report.benchmark import Benchmark
    from lifecycle.report.candidates import Candidate


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
    from lifecycle.export.formats import load_format
    from lifecycle.report.benchmark import COST_COLUMNS, LATENCY_COLUMNS, run_benchmark
    from lifecycle.report.candidates import Options, candidates

    for name in names:
        load_format(name)
    bundles = _bundles(artifacts)
    quality, mode = (None, "max") if score is None else _scorer(score, metric)
    options = Options(threads=_numbers(threads), calls=calls, batch=batch, max_drop=max_drop, mode=mode)
    given = candidates(bundles, names, options.threads)
    found = run_benchmark(given, options, quality=quality, progress=terminal_progress())
    if plot is not None:
        _draw(found, plot)
    if as_json:
        print_json(found.to_json())
        return
    print_table(f"Latency: batch {batch}, {calls} calls in turn", LATENCY_COLUMNS, found.latency_table())
    print_table("Start, size and quality", COST_COLUMNS, found.cost_table())
    print_text(found.verdict())


def _bundles(paths: tuple[Path, ...]) -> dict[str, Artifact]:
    """Verified, by short names that tell them apart."""
    from lifecycle.core.artifact import open_artifact

    for path in paths:
        if not path.is_dir():
            raise UsageError(
                f"no folder {path}",
                hint="Name the folder of a bundle: `lifecycle export pipeline.yaml` prints where it is.",
            )
    opened = [open_artifact(path) for path in paths]
    names = [path.resolve().name for path in paths]
    short = [name[:12] for name in names]
    alike = len(set(short)) < len(short)
    return {
        f"{index + 1}:{name}" if alike else name: artifact
        for index, (name, artifact) in enumerate(zip(short, opened, strict=True))
    }


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise UsageError(f"--threads is '{text}'; expected numbers such as 1,2,4") from None


def _scorer(file: Path, metric: str | None) -> tuple[Callable[[Candidate], tuple[str, float]], str]:
    """What scores a candidate, and whether more is better."""
    from lifecycle.core.stage import Context
    from lifecycle.pipeline.spec import read_pipeline
    from lifecycle.session import data_maker

    pipeline = read_pipeline(file, os.environ, ())
    context = Context(project=pipeline.project, data=data_maker(pipeline.project), seed=pipeline.seed)

    def quality(item: Candidate) -> tuple[str, float]:
        from lifecycle.export.runtime import open_model
        from lifecycle.stages.score import score_file
        from lifecycle.train.artifact import open_checkpoint

        module = open_checkpoint(_checkpoint(item.artifact, file))
        metrics, _ = score_file(module, open_model(item.artifact, item.format.name, threads=1), context)
        return _chosen(metrics, metric)

    return quality, pipeline.budget.mode


def _chosen(metrics: Mapping[str, float], metric: str | None) -> tuple[str, float]:
    names = [name for name in metrics if name.startswith("test_")]
    name = metric or (names[-1] if names else "")
    if name not in metrics:
        raise UsageError(f"test_step logs no '{name}'; it logs: {', '.join(metrics) or 'nothing'}")
    return name, metrics[name]


def _checkpoint(bundle: Artifact, file: Path) -> Artifact:
    """The checkpoint that a bundle was made of, in the pipeline's workspace."""
    from lifecycle.pipeline.cache import find_artifact
    from lifecycle.workspace import FOLDER

    cache = file.resolve().parent / FOLDER / "cache"
    found = find_artifact(cache, bundle.parent or "")
    if found is None:
        digest = (bundle.parent or "of no digest")[:12]
        raise ArtifactError(
            f"the checkpoint {digest} that {bundle.path} was made of is not in {cache}",
            hint="Give the pipeline file beside whose .lifecycle/ it lies, or leave out --score.",
        )
    return found


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
