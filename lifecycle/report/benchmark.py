"""Files side by side on this machine: how fast, how large, how good, and which of them to take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lifecycle.core.canonical import JSON
from lifecycle.core.progress import NullProgress, Progress, timed, tracked
from lifecycle.export.batches import random_inputs
from lifecycle.export.benchmark import Latency, measure_latency, ratio
from lifecycle.export.probe import Start, probe
from lifecycle.export.runtime import open_model
from lifecycle.export.settings import RunSettings
from lifecycle.report.candidates import Candidate, Options

LATENCY_COLUMNS = (
    "file",
    "threads",
    "median ms",
    "95 % interval",
    "p95 ms",
    "p99 ms",
    "times as fast",
    "samples/s",
)
COST_COLUMNS = ("file", "threads", "first call ms", "load ms", "peak MB", "size kB", "quality", "keeps it")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was found of a candidate.

    Attributes:
        candidate: Which.
        latency: Of a call.
        ratio: How many times as long as the first candidate, with the ends of its 95 % interval.
        throughput: Samples a second in wide batches.
        start: Of a process of its own.
        size_bytes: Of the file, and what lies beside it.
        quality: Its score, None where it was not scored.
    """

    candidate: Candidate
    latency: Latency
    ratio: tuple[float, float, float]
    throughput: float
    start: Start
    size_bytes: int
    quality: float | None = None

    def to_json(self) -> dict[str, JSON]:
        """Plain data."""
        return {
            "file": self.candidate.name,
            "format": self.candidate.format.name,
            "precision": self.candidate.precision,
            "threads": self.candidate.threads,
            "digest": self.candidate.artifact.digest,
            "median_ms": self.latency.median_ms,
            "interval_ms": [self.latency.low_ms, self.latency.high_ms],
            "p95_ms": self.latency.p95_ms,
            "p99_ms": self.latency.p99_ms,
            "ratio": self.ratio[0],
            "ratio_interval": list(self.ratio[1:]),
            "throughput_per_s": self.throughput,
            "first_ms": self.start.first_ms,
            "load_ms": self.start.load_ms,
            "peak_mb": self.start.peak_mb,
            "added_mb": self.start.added_mb,
            "size_bytes": self.size_bytes,
            "quality": self.quality,
        }


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """All candidates, in the order in which they were given; the first is what others are compared with."""

    rows: tuple[Measured, ...]
    options: Options
    metric: str = ""

    def keeps(self, row: Measured) -> bool:
        """Whether a row's quality is within the drop that is allowed; true where nothing was scored."""
        first = self.rows[0].quality
        if first is None or row.quality is None:
            return True
        lost = first - row.quality if self.options.mode == "max" else row.quality - first
        return lost <= self.options.max_drop + 1e-12

    @property
    def fastest(self) -> Measured:
        """The fastest of those that keep the quality."""
        return min(filter(self.keeps, self.rows), key=lambda row: row.latency.median_ms)

    def verdict(self) -> str:
        """Which to take, and how sure that is."""
        best = self.fastest
        tied = [
            row.candidate.key
            for row in self.rows
            if row is not best and self.keeps(row) and _includes_one(ratio(row.latency, best.latency))
        ]
        drop = f"{self.metric} is at most {self.options.max_drop:g} worse" if self.metric else ""
        quality = f" of those whose {drop}" if drop else " (nothing was scored: give --score pipeline.yaml)"
        ties = f"; not told apart from it: {', '.join(tied)}" if tied else ""
        return f"The fastest{quality}: {best.candidate.key}, {best.latency.median_ms:.3g} ms{ties}."

    def latency_table(self) -> list[list[str]]:
        """Rows below `LATENCY_COLUMNS`."""
        return [_latency_cells(row) for row in self.rows]

    def cost_table(self) -> list[list[str]]:
        """Rows below `COST_COLUMNS`."""
        return [_cost_cells(row, self.keeps(row)) for row in self.rows]

    def to_json(self) -> dict[str, JSON]:
        """Plain data."""
        return {
            "metric": self.metric or None,
            "batch": self.options.batch,
            "calls": self.options.calls,
            "rows": [row.to_json() | {"keeps_quality": self.keeps(row)} for row in self.rows],
            "fastest": self.fastest.candidate.key,
            "verdict": self.verdict(),
        }


def run_benchmark(
    given: Sequence[Candidate],
    options: Options,
    *,
    quality: Callable[[Candidate], tuple[str, float]] | None = None,
    progress: Progress | None = None,
) -> Benchmark:
    """Measure all: each in a process of its own first, then all in turn in this one.

    Args:
        given: What to measure; others are compared with the first.
        options: How.
        quality: Scores a candidate, and says by what; asked once for each file.
        progress: Told what is being done.
    """
    progress = progress or NullProgress()
    starts = {}
    for item in tracked(progress, "starting each", given):
        progress.note(f"starting {item.key}")
        starts[item.key] = probe(item.file, item.signature, item.format.name, item.threads, options.batch)
    progress.note(f"timing {len(given)} candidates in turn")
    with timed(progress, "timing all in turn") as told:
        narrow = measure_latency(_calls(given, options.batch), calls=options.calls, told=told)
        many = max(10, options.calls // 5)
        wide = measure_latency(_calls(given, options.wide_batch), calls=many, warm_up=3, told=told)
    metric, scores = "", dict[str, float]()
    for item in tracked(progress, "scoring each", given if quality is not None else ()):
        if quality is not None and item.name not in scores:
            progress.note(f"scoring {item.name}")
            metric, scores[item.name] = quality(item)
    first = narrow[given[0].key]
    rows = tuple(
        Measured(
            candidate=item,
            latency=narrow[item.key],
            ratio=ratio(narrow[item.key], first),
            throughput=item.samples(options.wide_batch) / wide[item.key].median_ms * 1000,
            start=starts[item.key],
            size_bytes=item.format.size_bytes(item.artifact.path),
            quality=scores.get(item.name),
        )
        for item in given
    )
    return Benchmark(rows=rows, options=options, metric=metric)


def _calls(given: Sequence[Candidate], samples: int) -> dict[str, Callable[[], object]]:
    calls: dict[str, Callable[[], object]] = {}
    for item in given:
        model = open_model(item.artifact, item.format.name, settings=RunSettings(threads=item.threads))
        inputs = random_inputs(model.signature, item.samples(samples))
        calls[item.key] = lambda model=model, inputs=inputs: model.run(inputs)  # type: ignore[misc]
    return calls


def _includes_one(found: tuple[float, float, float]) -> bool:
    return found[1] <= 1 <= found[2]


def _latency_cells(row: Measured) -> list[str]:
    latency = row.latency
    return [
        row.candidate.name,
        str(row.candidate.threads),
        f"{latency.median_ms:.3f}",
        f"{latency.low_ms:.3f} to {latency.high_ms:.3f}",
        f"{latency.p95_ms:.3f}",
        f"{latency.p99_ms:.3f}",
        f"{1 / row.ratio[0]:.2f}",
        f"{row.throughput:.0f}",
    ]


def _cost_cells(row: Measured, keeps: bool) -> list[str]:
    scored = row.quality is not None
    return [
        row.candidate.name,
        str(row.candidate.threads),
        f"{row.start.first_ms:.2f}",
        f"{row.start.load_ms:.1f}",
        f"{row.start.peak_mb:.0f}",
        f"{row.size_bytes / 1e3:.1f}",
        f"{row.quality:.4f}" if scored else "",
        ("yes" if keeps else "NO") if scored else "",
    ]
