"""Evaluate: the exported file itself, scored by the module's own ``test_step``, beside the dense model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, cast

from lifecycle.core.artifact import Artifact, Draft
from lifecycle.core.budget import AS_FAST, Budget, check_budget
from lifecycle.core.canonical import JSON, readable_json
from lifecycle.core.errors import LifecycleError, NoFingerprintError
from lifecycle.core.progress import timed, tracked
from lifecycle.core.stage import Context, Stage, scratch
from lifecycle.core.verdict import Row, at_most, require
from lifecycle.core.within import Within, check_limits
from lifecycle.stages.facts import facts_of

if TYPE_CHECKING:
    from lifecycle.stages.score import Score


LAST = "compressed"  # what will be served, as reports call it


@dataclass(frozen=True, kw_only=True)
class Evaluate(Stage):
    """Score on the test split, measure size, cost and latency, and hold it against the budget.

    Measured by the clock, latencies stand in the facts; everything else is part of the digest.

    Attributes:
        timed_calls: How often each file is called to measure its latency.
        steps: Measure the files of the checkpoints between the dense one and the last as well.
        compile: Time the dense module under ``torch.compile`` too, which takes a C++ compiler and a while.
    """

    consumes: ClassVar[tuple[str, ...]] = ("checkpoint", "bundle")
    produces: ClassVar[str] = "evaluation"
    splits: ClassVar[tuple[str, ...]] = ("test",)

    timed_calls: Annotated[int, Within(least=2)] = 300
    steps: bool = True
    compile: bool = False

    def __post_init__(self) -> None:
        check_limits(self)

    def run(self, given: Mapping[str, Artifact], into: Path, context: Context) -> Artifact:
        """Score the file and the dense model's file on the same batches, and time them in turn."""
        from lifecycle.stages.export import export_checkpoint
        from lifecycle.stages.score import score_bundle, time_bundles

        checkpoint, bundle = given["checkpoint"], given["bundle"]
        baseline = context.baseline or checkpoint
        dense_bundle = bundle
        if changed := baseline.digest != checkpoint.digest:
            context.progress.note("  exporting the dense model to compare with")
            dense_bundle = export_checkpoint(baseline, scratch(into) / "dense", context, ("onnx",), {})
        bundles = {"dense": dense_bundle, **self._between(context, checkpoint, scratch(into)), LAST: bundle}
        checkpoints = {**context.steps, "dense": baseline, LAST: checkpoint}
        scores = {
            name: score_bundle(checkpoints[name], bundles[name], context)
            for name in tracked(context.progress, "scoring the files", list(bundles))
        }
        latencies = time_bundles(bundles, self.timed_calls, context.progress)
        timings = self._timings(baseline, bundles, context)
        measured = {name: {**scores[name].metrics, **latencies[name]} for name in bundles}
        after, before = measured[LAST], measured["dense"]
        # The metric was held against the budget on the validation split; the test split is for promotion.
        limits = replace(context.budget, metric=None, max_drop=None)
        require(
            [*check_budget(limits, after, before), *slower_steps(limits, measured if changed else {})],
            "evaluate: the file is outside the budget",
            hint="Compress further, or change `budget:`.",
        )
        with Draft(into) as draft:
            ends = {name: scores[name] for name in (LAST, "dense")}
            (draft.path / "metrics.json").write_bytes(readable_json(_content(ends, bundle, context)))
            (draft.path / "predictions.json").write_bytes(readable_json(_predictions(ends)))
            headline = [name for name in after if name.startswith("test_")][-1:]
            steps: JSON = [{"step": name, **values} for name, values in measured.items()]
            facts = facts_of(self, context, after, headline, dense=before, steps=steps, timings=timings)
            return draft.seal("evaluation", parent=bundle, facts=facts)

    def _between(self, context: Context, last: Artifact, folder: Path) -> dict[str, Artifact]:
        """Bundles of the checkpoints between the dense one and the last, by the stage that made them."""
        from lifecycle.stages.export import export_checkpoint

        if not self.steps:
            return {}
        known = {last.digest, context.baseline.digest if context.baseline else ""}
        found = {}
        for name, step in context.steps.items():
            if step.digest in known:
                continue
            context.progress.note(f"  exporting what {name} made to compare with")
            try:
                found[name] = export_checkpoint(step, folder / name, context, ("onnx",), {})
            except LifecycleError as error:  # it is a step on the way: what is served was proven
                context.progress.note(f"  {name}: its file is not measured: {error.message}")
        return found

    def _timings(self, baseline: Artifact, bundles: Mapping[str, Artifact], context: Context) -> list[JSON]:
        """Every form of the model, batch and number of threads; says so where compression made it slower."""
        from lifecycle.stages.timings import latencies, slower
        from lifecycle.train.artifact import open_checkpoint

        module = open_checkpoint(baseline)
        calls = max(2, self.timed_calls // 10)
        with timed(context.progress, "timing batches and threads") as told:
            timings, problem = latencies(module, bundles, calls=calls, compiled=self.compile, told=told)
        for note in (problem, *slower(timings)):
            if note:
                context.progress.note(f"  {note}")
        return [timing.to_json() for timing in timings]


def _fingerprint(context: Context) -> str | None:
    """Of the data that was scored on, where it has one."""
    from lifecycle.stages.fitting import data_of
    from lifecycle.train.data import fingerprint

    try:
        return fingerprint(data_of(context))
    except NoFingerprintError:
        return None


def slower_steps(budget: Budget, measured: Mapping[str, Mapping[str, float]]) -> list[Row]:
    """Whether the last step is as fast as the one before it, where the budget has a latency term.

    Args:
        budget: Of the run.
        measured: ``latency_ms`` of each step's file, among others, in order.
    """
    if not budget.has_latency or len(measured) < 2:
        return []
    *_, (name, before), (_, after) = measured.items()
    return [at_most(f"latency beside {name}'s", after["latency_ms"] / before["latency_ms"], AS_FAST)]


def _content(scores: Mapping[str, Score], bundle: Artifact, context: Context) -> dict[str, JSON]:
    return {
        "metrics": scores[LAST].metrics,
        "dense": scores["dense"].metrics,
        "bundle": bundle.digest,
        "data": _fingerprint(context),
        "weights": cast("JSON", asdict(scores[LAST].weights)),
    }


def _predictions(scores: Mapping[str, Score]) -> dict[str, JSON]:
    """The class of each test sample, where the first output has one value for each label; and what it is."""
    found: dict[str, JSON] = {name: list(score.predictions) for name, score in scores.items()}
    return found | {"targets": list(scores[LAST].targets)}
