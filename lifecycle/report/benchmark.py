"""Files side by side on this machine: how fast, how large, how good, and which of them to take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from lifecycle.core.artifact import Artifact
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError
from lifecycle.core.signature import Signature
from lifecycle.export.batches import random_inputs
from lifecycle.export.benchmark import Latency, measure_latency, ratio
from lifecycle.export.formats import Format, formats
from lifecycle.export.probe import Start, probe
from lifecycle.export.runtime import open_model
from lifecycle.export.settings import RunSettings

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
class Options:
    """What to measure.

    Attributes:
        threads: Numbers of threads, each tried with every file.
        calls: How often each is timed.
        batch: Samples in a timed call.
        wide_batch: Samples in a call of the throughput's measurement.
        max_drop: How much worse than the first candidate's quality a file may be and still keep it.
        mode: Whether a greater quality is better, ``max``, or a smaller one, ``min``.
    """

    threads: tuple[int, ...] = (1,)
    calls: int = 200
    batch: int = 1
    wide_batch: int = 32
    max_drop: float = 0.01
    mode: str = "max"

    def __post_init__(self) -> None:
        least = (("batch", self.batch, 1), ("wide_batch", self.wide_batch, 1), ("calls", self.calls, 2))
        for name, value, lowest in least:
            if value < lowest:
                raise UsageError(f"{name} is {value}; expected at least {lowest}")
        if self.max_drop < 0:
            raise UsageError(f"max_drop is {self.max_drop:g}; expected 0 or more")
        if not self.threads or min(self.threads) < 1:
            raise UsageError(f"threads is {list(self.threads)}; expected numbers of at least 1")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One file with one number of threads.

    Attributes:
        name: The bundle's and the format's.
        artifact: The bundle.
        format: The file's.
        threads: How many one call may use.
    """

    name: str
    artifact: Artifact
    format: Format
    threads: int

    @property
    def key(self) -> str:
        """Tells it from the others."""
        return f"{self.name}, {self.threads} thread{'s' if self.threads > 1 else ''}"

    @property
    def precision(self) -> str:
        """``float32`` or ``int8``, as the bundle's proof says."""
        return str(self.artifact.read_json("parity.json").get("precision", ""))


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


def candidates(
    bundles: Mapping[str, Artifact], names: Sequence[str], threads: Sequence[int]
) -> list[Candidate]:
    """Every file of the bundles, with every number of threads.

    Args:
        bundles: By the name to show.
        names: Only these formats; all where none is named.
        threads: Numbers of threads.

    Raises:
        UsageError: an artifact is no bundle, or none of its files is of a format that was named.
    """
    found = []
    for (name, artifact), format, count in product(bundles.items(), formats(), threads):
        if artifact.kind != "bundle":
            raise UsageError(f"{artifact.path} holds a {artifact.kind}; only a bundle can be run")
        wanted = not names or format.name in names
        if wanted and (artifact.path / format.filename).is_file():
            label = f"{name} {format.name}"
            found.append(Candidate(name=label, artifact=artifact, format=format, threads=count))
    if not found:
        raise UsageError(f"no bundle has a file of: {', '.join(names) or 'any format'}")
    return found


def run_benchmark(
    given: Sequence[Candidate],
    options: Options,
    *,
    quality: Callable[[Candidate], tuple[str, float]] | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Benchmark:
    """Measure all: each in a process of its own first, then all in turn in this one.

    Args:
        given: What to measure; others are compared with the first.
        options: How.
        quality: Scores a candidate, and says by what; asked once for each file.
        note: Told what is being done.
    """
    starts = {}
    for item in given:
        note(f"starting {item.key}")
        starts[item.key] = probe(_file(item), _signature(item), item.format.name, item.threads, options.batch)
    note(f"timing {len(given)} candidates in turn")
    narrow = measure_latency(_calls(given, options.batch), calls=options.calls)
    wide = measure_latency(_calls(given, options.wide_batch), calls=max(10, options.calls // 5), warm_up=3)
    metric, scores = "", dict[str, float]()
    for item in given:
        if quality is not None and item.name not in scores:
            note(f"scoring {item.name}")
            metric, scores[item.name] = quality(item)
    first = narrow[given[0].key]
    rows = tuple(
        Measured(
            candidate=item,
            latency=narrow[item.key],
            ratio=ratio(narrow[item.key], first),
            throughput=_samples(item, options.wide_batch) / wide[item.key].median_ms * 1000,
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
        inputs = random_inputs(model.signature, _samples(item, samples))
        calls[item.key] = lambda model=model, inputs=inputs: model.run(inputs)  # type: ignore[misc]
    return calls


def _samples(item: Candidate, wanted: int) -> int:
    """As many samples as were asked for, or as the file takes."""
    from lifecycle.export.batches import batch_axis

    signature = _signature(item)
    axis = batch_axis(signature)
    if axis is None:
        return int(signature.inputs[0].shape[0]) if signature.inputs[0].shape else 1
    low, high = signature.axes.get(axis, (1, wanted))
    return min(max(low, wanted), high)


def _signature(item: Candidate) -> Signature:
    return Signature.from_json(item.artifact.read_json("signature.json"))


def _file(item: Candidate) -> Path:
    return item.artifact.file(item.format.filename)


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
