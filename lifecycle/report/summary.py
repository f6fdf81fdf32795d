"""The tables at the end of a run: what each stage did, and the model before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lifecycle.core.artifact import Artifact
from lifecycle.core.canonical import JSON
from lifecycle.pipeline.runner import Outcome
from lifecycle.report.units import count_text, milliseconds_text, size_text

STAGE_COLUMNS = ("stage", "", "time", "metric", "MACs", "parameters", "size", "latency", "digest")
MODEL_COLUMNS = ("", "dense", "compressed", "change")
STEP_COLUMNS = ("step", "metric", "MACs", "parameters", "ONNX file", "latency", "p95")
LATENCY_COLUMNS = ("", "batch", "threads", "median", "p95", "than dense PyTorch")


def stage_rows(outcomes: Sequence[Outcome]) -> list[list[str]]:
    """A row for each stage; what a stage did not measure is left empty."""
    rows = []
    for outcome in outcomes:
        values = outcome.artifact.numbers()
        rows.append(
            [
                outcome.name,
                "cached" if outcome.cached else "ran",
                f"{outcome.seconds:.1f} s",
                _headline(outcome.artifact, values),
                _count(values.get("macs")),
                _count(values.get("params")),
                _size(values.get("size_bytes")),
                _latency(values.get("latency_ms")),
                outcome.artifact.digest[:12],
            ]
        )
    return rows


def before_after(evaluation: Artifact) -> list[list[str]]:
    """The dense model beside the one that will be served, row by row, from an ``evaluation`` artifact."""
    after, before = evaluation.numbers(), _numbers(evaluation.facts.get("dense"))
    rows = [
        [name, f"{before[name]:.4f}", f"{after[name]:.4f}", f"{after[name] - before[name]:+.4f}"]
        for name in after
        if name in before and name not in _FORMATS
    ]
    for name, (label, form) in _FORMATS.items():
        if name in after and before.get(name):
            rows.append([label, form(before[name]), form(after[name]), f"× {after[name] / before[name]:.3f}"])
    return rows


def step_rows(evaluation: Artifact) -> list[list[str]]:
    """Every step from the dense model to the one that will be served, each by its own ONNX file."""
    steps = evaluation.facts.get("steps")
    rows = []
    for step in steps if isinstance(steps, list) else []:
        if isinstance(step, Mapping):
            values = _numbers(step)
            rows.append(
                [
                    str(step["step"]),
                    _headline(evaluation, values),
                    _count(values.get("macs")),
                    _count(values.get("params")),
                    _size(values.get("size_bytes")),
                    _latency(values.get("latency_ms")),
                    _latency(values.get("latency_p95_ms")),
                ]
            )
    return rows


def latency_rows(evaluation: Artifact) -> list[list[str]]:
    """Every form of the model by batch and threads, and how many times faster than the dense module it is."""
    timings = evaluation.facts.get("timings")
    rows: list[list[str]] = []
    eager = 0.0
    for timing in timings if isinstance(timings, list) else []:
        if not isinstance(timing, Mapping):
            continue
        values = _numbers(timing)
        if timing["form"] == "dense, PyTorch":
            eager = values["median_ms"]  # the others of the same batch and threads follow it
        form, batch, threads = (str(timing[name]) for name in ("form", "batch", "threads"))
        times = [_latency(values["median_ms"]), _latency(values["p95_ms"])]
        rows.append([form, batch, threads, *times, f"× {eager / values['median_ms']:.2f}"])
    return rows


def outcome_json(outcome: Outcome) -> dict[str, JSON]:
    """One stage for ``--json``."""
    return {
        "stage": outcome.name,
        "cached": outcome.cached,
        "seconds": round(outcome.seconds, 3),
        "kind": outcome.artifact.kind,
        "digest": outcome.artifact.digest,
        "path": str(outcome.artifact.path),
        "metrics": outcome.artifact.numbers(),
    }


def _headline(artifact: Artifact, values: Mapping[str, float]) -> str:
    names = artifact.facts.get("headline")
    shown = (
        [f"{name} {values[str(name)]:.4f}" for name in names if name in values]
        if isinstance(names, list)
        else []
    )
    return ", ".join(shown)


def _numbers(value: JSON) -> dict[str, float]:
    if not isinstance(value, Mapping):
        return {}
    return {name: float(item) for name, item in value.items() if isinstance(item, int | float)}


def _count(value: float | None) -> str:
    return "" if value is None else count_text(value)


def _size(value: float | None) -> str:
    return "" if value is None else size_text(value)


def _latency(value: float | None) -> str:
    return "" if value is None else milliseconds_text(value)


_FORMATS = {
    "macs": ("MACs", _count),
    "params": ("parameters", _count),
    "size_bytes": ("ONNX file", _size),
    "latency_ms": ("latency, median: ONNX Runtime, batch 1, one thread", _latency),
    "latency_p95_ms": ("latency, 95th percentile", _latency),
}
