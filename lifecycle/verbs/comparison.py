"""Bundles, formats and thread counts side by side on this machine, scored where a pipeline file says how."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.errors import ArtifactError, UsageError
from lifecycle.core.progress import NullProgress, Progress

if TYPE_CHECKING:
    from lifecycle.core.artifact import Artifact
    from lifecycle.report.benchmark import Benchmark
    from lifecycle.report.candidates import Candidate

Quality = Callable[["Candidate"], tuple[str, float]]


def benchmark(
    *bundles: str | Path,
    formats: Sequence[str] = (),
    threads: Sequence[int] = (1,),
    calls: int = 200,
    batch: int = 1,
    score: str | Path | None = None,
    metric: str | None = None,
    max_drop: float = 0.01,
    progress: Progress | None = None,
) -> Benchmark:
    """Call the files of bundles in turn; the first is what the others are compared with.

    Args:
        bundles: Folders that an export made.
        formats: Only these; by default all that are there.
        threads: Numbers of threads, each tried with every file.
        calls: How often each is timed.
        batch: Samples in a timed call.
        score: A pipeline file: score every file on its test split.
        metric: What to score by, of what test_step logs; by default its last.
        max_drop: How much worse than the first a file may be.
        progress: Where to say how far it is; by default nowhere.

    Returns:
        Rows with medians and 95 % intervals, and the fastest that keeps its quality.

    Raises:
        UsageError: a format, a number or a metric is wrong.
        ArtifactError: a folder is no bundle, or damaged.
    """
    from lifecycle.export.formats import load_format
    from lifecycle.report.benchmark import run_benchmark
    from lifecycle.report.candidates import Options, candidates

    for name in formats:
        load_format(name)
    opened = _bundles([Path(each) for each in bundles])
    quality, mode = (None, "max") if score is None else _scorer(Path(score), metric)
    options = Options(threads=tuple(threads), calls=calls, batch=batch, max_drop=max_drop, mode=mode)
    given = candidates(opened, tuple(formats), options.threads)
    return run_benchmark(given, options, quality=quality, progress=progress or NullProgress())


def _bundles(paths: Sequence[Path]) -> dict[str, Artifact]:
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


def _scorer(file: Path, metric: str | None) -> tuple[Quality, str]:
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
