"""The search over compressions: each trial a child run, each measured on its own file, none done twice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lifecycle.compress.search import Trial, pareto_front
from lifecycle.core.artifact import Artifact
from lifecycle.core.budget import Budget, check_budget
from lifecycle.core.canonical import JSON, canonical_json, readable_json, sha256, write_whole
from lifecycle.core.errors import UsageError
from lifecycle.core.progress import Progress, terminal_progress
from lifecycle.core.stage import Context, Stage
from lifecycle.pipeline.fingerprint import find_fingerprint
from lifecycle.pipeline.journal import Journal
from lifecycle.pipeline.runner import run_stages
from lifecycle.pipeline.spec import Pipeline
from lifecycle.session import data_maker
from lifecycle.tracking import PipelineRun, RecordedRun, Recorder, recording
from lifecycle.workspace import Workspace

if TYPE_CHECKING:
    from lifecycle.train.data import DataModule

NAMES = ("metric", "latency_ms", "size_bytes", "macs")
DENSE = Trial(macs=1.0, importance="", quantization="none")


@dataclass(frozen=True, kw_only=True)
class Found:
    """What became of a trial.

    Attributes:
        trial: The combination.
        metric: The budget's metric on the validation split.
        latency_ms: Of its ONNX file, batch 1, one thread.
        size_bytes: Of that file.
        macs: Multiply-accumulates that remain, as a fraction of dense.
        refused: Which terms of the budget it breaks; empty where it holds.
        best: Whether it holds, and no other that does is as good everywhere and better somewhere.
    """

    trial: Trial
    metric: float
    latency_ms: float
    size_bytes: float
    macs: float
    refused: str = ""
    best: bool = False

    def to_json(self) -> dict[str, JSON]:
        """Plain data."""
        return {
            "trial": self.trial.name,
            "macs_asked": self.trial.macs,
            "importance": self.trial.importance,
            "quantization": self.trial.quantization,
            "metric": self.metric,
            "latency_ms": self.latency_ms,
            "size_bytes": self.size_bytes,
            "macs": self.macs,
            "refused": self.refused,
            "pareto": self.best,
        }


def search(
    pipeline: Pipeline,
    trials: Sequence[Trial],
    workspace: Workspace,
    progress: Progress | None = None,
    *,
    wait_s: float = 0.0,
) -> list[Found]:
    """Try every combination, each as a child run, and tell which of them nothing beats.

    Stages whose result is there are not run again, and what the clock said of a file is kept beside it: a
    search that was stopped goes on, and ends with what it would have found.

    Args:
        pipeline: Its ``train`` stage makes the dense model; ``prune`` and ``quantize`` give the options that
            trials do not set. Its budget's metric is what accuracy means.
        trials: In the order to try; the dense model comes before them, as what they compare with.
        workspace: Where results are kept; held for as long as the search lasts.
        progress: Where to say how far it is; by default the terminal.
        wait_s: For how long to wait for another run in the workspace to end.

    Raises:
        UsageError: the pipeline has no ``train`` stage, or its budget no metric.
    """
    if pipeline.budget.metric is None or "train" not in pipeline.stages:
        raise UsageError("a search needs a 'train' stage, and budget.metric to tell good from bad")
    progress = progress or terminal_progress()
    with workspace.locked(wait_s, progress.note):
        name = pipeline.project.name
        with (
            recording(workspace, name, progress.note) as recorder,
            recorder.run(f"{name} search", {"lifecycle.search": "true"}) as parent,
        ):
            work = _Search(pipeline, workspace, recorder, parent, progress)
            rest = [trial for trial in trials if trial != DENSE]
            found = mark_front([work.run(trial) for trial in (DENSE, *rest)], pipeline.budget.mode)
            parent.log_metrics({"trials": len(found), "refused": sum(bool(each.refused) for each in found)})
    return found


def mark_front(found: Sequence[Found], mode: str) -> list[Found]:
    """Tell the trials that nothing beats in accuracy, latency and size."""
    sign = -1.0 if mode == "max" else 1.0
    holding = [each for each in found if not each.refused]
    points = [(sign * each.metric, each.latency_ms, each.size_bytes) for each in holding]
    front = {id(holding[index]) for index in pareto_front(points)}
    return [replace(each, best=id(each) in front) for each in found]


class _Search:
    """One search: what all its trials share."""

    def __init__(
        self,
        pipeline: Pipeline,
        workspace: Workspace,
        recorder: Recorder,
        parent: RecordedRun,
        progress: Progress,
    ) -> None:
        self.pipeline = pipeline
        self.workspace = workspace
        self.recorder = recorder
        self.parent = parent
        self.progress = progress
        self.metric = cast("str", pipeline.budget.metric)
        self.dense: dict[str, float] = {}
        self.data = data_maker(pipeline.project)
        self.journal = Journal(workspace.journal)
        self.fingerprint = find_fingerprint(
            pipeline.project, self.journal, lambda: _fingerprint(self.data()), progress.note
        )
        self.folder = workspace.path / "search"
        self.folder.mkdir(parents=True, exist_ok=True)

    def run(self, trial: Trial) -> Found:
        """One trial, from the dense model to the measured file."""
        self.progress.note(f"trial: {trial.name}")
        context = Context(
            project=self.pipeline.project,
            data=self.data,
            # The whole budget is held against what was measured: a trial that breaks it is worth knowing too.
            budget=Budget(metric=self.metric, mode=self.pipeline.budget.mode),
            seed=self.pipeline.seed,
            progress=self.progress,
        )
        with self.recorder.run(trial.name, {"lifecycle.trial": trial.name}, self.parent) as child:
            outcomes = run_stages(
                trial_stages(self.pipeline, trial),
                context,
                cache=self.workspace.cache,
                log=PipelineRun(self.recorder, child),
                journal=self.journal,
                data_fingerprint=lambda: self.fingerprint,
            )
            found = self._measured(trial, {outcome.name: outcome.artifact for outcome in outcomes})
            values = {name: getattr(found, name) for name in NAMES}
            child.log_metrics(values)
            child.set_tags({"lifecycle.refused": found.refused[:400]})
        verdict = f"outside the budget: {found.refused}" if found.refused else "within the budget"
        self.progress.note(f"trial: {trial.name}: {self.metric} {found.metric:.4g}, {verdict}")
        return found

    def _measured(self, trial: Trial, made: Mapping[str, Artifact]) -> Found:
        dense, bundle = made["train"].numbers(), made["export"]
        last = (made.get("quantize") or made.get("prune") or made["train"]).numbers()
        size = float(bundle.file("model.onnx").stat().st_size)
        measured = {**last, "latency_ms": self._latency(bundle), "size_bytes": size}
        self.dense = self.dense or {
            **dense,
            **{name: measured[name] for name in ("latency_ms", "size_bytes")},
        }
        rows = check_budget(self.pipeline.budget, measured, self.dense)
        return Found(
            trial=trial,
            metric=last[self.metric],
            latency_ms=measured["latency_ms"],
            size_bytes=size,
            macs=last["macs"] / dense["macs"],
            refused="; ".join(f"{row.term} {row.measured} ({row.limit})" for row in rows if not row.holds),
        )

    def _latency(self, bundle: Artifact) -> float:
        """What the clock said of a file, now or in the run that was stopped."""
        from lifecycle.stages.score import time_bundles

        journal = self.folder / f"{bundle.digest}.json"
        if not journal.exists():
            measured = time_bundles({"file": bundle}, 300, self.progress)["file"]
            write_whole(journal, json.dumps(measured).encode())
        return float(json.loads(journal.read_bytes())["latency_ms"])


def trial_stages(pipeline: Pipeline, trial: Trial) -> dict[str, Stage]:
    """The stages of a trial, with the pipeline's options where the trial says nothing."""
    from lifecycle.stages.export import Export
    from lifecycle.stages.prune import Prune
    from lifecycle.stages.quantize import Quantize

    stages: dict[str, Stage] = {"train": pipeline.stages["train"]}
    inherited = dict(getattr(pipeline.stages["train"], "trainer", {}))
    inherited.pop("max_epochs", None)
    if trial.macs < 1:
        base = pipeline.stages.get("prune") or Prune(macs=trial.macs, trainer=inherited)
        stages["prune"] = replace(
            cast("Prune", base),
            macs=trial.macs,
            params=None,
            channels=None,
            latency_ms=None,
            importance=trial.importance,  # type: ignore[arg-type]
            tries=1,
        )
    if trial.quantization != "none":
        quantize = pipeline.stages.get("quantize") or Quantize(trainer=inherited)
        stages["quantize"] = replace(cast("Quantize", quantize), method=trial.quantization)
    stages["export"] = Export()
    return stages


def write_results(found: Sequence[Found], folder: Path, metric: str) -> list[Path]:
    """The table as JSON and the front as a plot, under a name that the trials determine."""
    from lifecycle.report.plot import Point, points_svg

    content: JSON = [each.to_json() for each in found]
    name = sha256(canonical_json([each.trial.name for each in found]))[:12]
    folder.mkdir(parents=True, exist_ok=True)
    points = [
        Point(x=each.latency_ms, y=each.metric, label=each.trial.name, best=each.best) for each in found
    ]
    paths = [folder / f"pareto-{name}.json", folder / f"pareto-{name}.svg"]
    write_whole(paths[0], readable_json(content))
    plot = points_svg(
        "Accuracy and latency of the trials", "latency, ms (ONNX Runtime, batch 1)", metric, points
    )
    write_whole(paths[1], plot.encode())
    return paths


def _fingerprint(data: DataModule) -> str:
    from lifecycle.train.data import fingerprint

    return fingerprint(data)
