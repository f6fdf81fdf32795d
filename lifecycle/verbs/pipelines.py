"""A pipeline file and its workspace: planned, run whole or in part, searched."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml

from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError
from lifecycle.core.progress import Progress
from lifecycle.pipeline.spec import Pipeline as Spec
from lifecycle.pipeline.spec import pipeline_of, read_layers, read_pipeline
from lifecycle.verbs.places import given_workspace
from lifecycle.workspace import FOLDER, Workspace

if TYPE_CHECKING:
    from lifecycle.compress.search import Trial
    from lifecycle.compress.sensitivity import LayerEffect
    from lifecycle.pipeline.options import Option
    from lifecycle.pipeline.runner import Failure, Outcome
    from lifecycle.search import Found
    from lifecycle.tracking import RecordedRun
    from lifecycle.verbs.plans import PlanResult
    from lifecycle.verbs.results import RunResult

log = logging.getLogger(__name__)


class Pipeline:
    """A pipeline file with values laid over it, and the workspace where its results are kept.

    The file is checked when this is made, and read anew by each method, so that what was edited meanwhile
    counts.

    Args:
        file: The pipeline file.
        values: Options by their dotted names, over those of the file and the environment:
            ``{"train.trainer.max_epochs": 3}``.
        workspace: Where results are kept; by default ``LIFECYCLE_WORKSPACE``, or ``.lifecycle/``
            beside the file.

    Attributes:
        file: The pipeline file.
        values: As given.
        workspace: Where results are kept.

    Raises:
        UsageError: the file or a value is wrong; says where, what was got, what is allowed.
    """

    def __init__(
        self,
        file: str | Path,
        values: Mapping[str, JSON] | None = None,
        *,
        workspace: str | Path | None = None,
    ) -> None:
        self.file = Path(file).absolute()
        self.values = dict(values or {})
        self.workspace = Workspace((given_workspace(workspace) or self.file.parent / FOLDER).resolve())
        self.spec()

    def spec(self) -> Spec:
        """The pipeline as it reads now: project, stages, budget, seed."""
        return read_pipeline(self.file, os.environ, self._overrides())

    def options(self) -> list[Option]:
        """Every option with where it was set."""
        from lifecycle.pipeline.options import list_options

        layers = read_layers(self.file, os.environ, self._overrides())
        return list_options(layers, pipeline_of(layers, self.file))

    def plan(self) -> PlanResult:
        """What a run would do and why; nothing of the project is run."""
        return plan_of(self.spec(), self.workspace)

    def run(
        self, *, until: str | None = None, wait_s: float = 0.0, progress: Progress | None = None
    ) -> RunResult:
        """Run every stage whose result is not there yet.

        Args:
            until: The last stage to run: ``"train"`` trains, ``"export"`` exports too; by default all.
            wait_s: For how long to wait for another run in this workspace to end.
            progress: Where to say how far it is; by default standard error.

        Raises:
            LifecycleError: what went wrong in which stage; what was finished before it is kept.
        """
        spec = self.spec()
        return run_reported(
            spec if until is None else up_to(spec, until), self.workspace, wait_s=wait_s, progress=progress
        )

    def sensitivity(
        self, *, change: Literal["prune", "quantize"] = "prune", keep: float = 0.5, wait_s: float = 0.0
    ) -> list[LayerEffect]:
        """What changing each layer of the trained model alone costs, the most harmful first.

        Args:
            change: What is done to a layer.
            keep: The fraction of its channels that stays, for ``prune``.
            wait_s: For how long to wait for another run in this workspace to end.
        """
        return sensitivity_of(self.spec(), self.workspace, change=change, keep=keep, wait_s=wait_s)

    def search(self, trials: Sequence[Trial]) -> list[Found]:
        """Try combinations of pruning and quantization, and mark those that nothing beats.

        Args:
            trials: From `lifecycle.compress.search.all_trials`.
        """
        from lifecycle.search import search

        return search(self.spec(), trials, self.workspace)

    def _overrides(self) -> list[str]:
        return [f"{key}={_as_written(value)}" for key, value in self.values.items()]

    def __repr__(self) -> str:
        given = f", {self.values!r}" if self.values else ""
        return f"Pipeline({str(self.file)!r}{given}, workspace={str(self.workspace.path)!r})"


def _as_written(value: JSON) -> str:
    """A value as it would stand in the file.

    >>> _as_written(1e-5), _as_written([1, "a"]), _as_written("static"), _as_written(None)
    ('1.0e-05', '[1, a]', 'static', 'null')
    """
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=math.inf)
    return text.strip().removesuffix("\n...")


def up_to(spec: Spec, stage: str) -> Spec:
    """The pipeline's stages from the first to a named one.

    Raises:
        UsageError: it has no such stage.
    """
    names = list(spec.stages)
    if stage not in names:
        example = {"prune": "macs=0.5", "quantize": "method=static"}.get(stage, "…")
        raise UsageError(
            f"the pipeline file has no '{stage}': its stages are {', '.join(names)}",
            hint=f"add a line `{stage}: {{…}}`, or set an option: {stage}.{example}",
        )
    kept = names[: names.index(stage) + 1]
    return replace(spec, stages={name: spec.stages[name] for name in kept})


def plan_of(spec: Spec, workspace: Workspace) -> PlanResult:
    """What a run would do and why, from sources and the journal read as text."""
    from lifecycle.pipeline.fingerprint import changed_files, kept_fingerprint
    from lifecycle.pipeline.journal import Journal
    from lifecycle.pipeline.keys import UNKNOWN, setting_of
    from lifecycle.pipeline.plan import plan_stages
    from lifecycle.pipeline.runner import check_order
    from lifecycle.verbs.plans import PlanResult

    check_order(spec.stages)
    journal = Journal(workspace.journal)
    fingerprint = kept_fingerprint(spec.project, journal)
    setting = setting_of(spec.project, spec.budget, spec.seed, fingerprint or UNKNOWN)
    planned = plan_stages(spec.stages, setting, cache=workspace.cache, journal=journal)
    return PlanResult(
        name=spec.project.name, stages=planned, changed_files=changed_files(spec.project, journal)
    )


def sensitivity_of(
    spec: Spec,
    workspace: Workspace,
    *,
    change: Literal["prune", "quantize"],
    keep: float,
    wait_s: float = 0.0,
) -> list[LayerEffect]:
    """As `Pipeline.sensitivity`; the report of the next run shows it."""
    from lifecycle.sensitivity import layer_effects

    return layer_effects(
        spec,
        workspace,
        change=change,
        keep=keep,
        title=sensitivity_title(spec, change=change, keep=keep),
        wait_s=wait_s,
    )


def sensitivity_title(spec: Spec, *, change: str, keep: float) -> str:
    """What the numbers of `sensitivity_of` are."""
    what = f"pruned to {keep:g}" if change == "prune" else "rounded to INT8"
    return f"{spec.budget.metric or ''} lost when one layer is {what}"


def run_reported(
    spec: Spec,
    workspace: Workspace,
    *,
    wait_s: float = 0.0,
    progress: Progress | None = None,
    tell: Callable[[str], None] = log.info,
) -> RunResult:
    """Run a pipeline, and write the page that tells of it.

    Args:
        spec: What to run.
        workspace: Where.
        wait_s: For how long to wait for another run there to end.
        progress: Where to say how far it is; by default standard error.
        tell: Told where the page of a run that failed is, before the error is raised.

    Raises:
        LifecycleError: as `lifecycle.session.run_pipeline`.
    """
    from lifecycle.connection import shown, tracking_uri
    from lifecycle.report.run import report_run
    from lifecycle.session import run_pipeline
    from lifecycle.verbs.results import RunResult

    results: list[RunResult] = []

    def finish(outcomes: Sequence[Outcome], run: RecordedRun, failure: Failure | None) -> None:
        uri = shown(tracking_uri(workspace))
        report = report_run(spec, workspace, outcomes, run, failure)
        if failure is not None:
            tell(f"Report: {os.path.relpath(report)}")
            return
        results.append(
            RunResult(
                pipeline=spec,
                outcomes=tuple(outcomes),
                report=report,
                run_id=run.run_id or "",
                tracking_uri=uri,
                run_url=_run_url(uri, run),
            )
        )

    run_pipeline(spec, workspace, progress, wait_s=wait_s, finish=finish)
    return results[0]


def _run_url(uri: str, run: RecordedRun) -> str:
    """The page of a run on a tracking server that answers."""
    from lifecycle.tracking.recorder import BRIEFLY_S

    if not uri.startswith(("http://", "https://")):
        return ""
    try:
        live = run.live(BRIEFLY_S)
        experiment = live.client.get_run(live.run_id).info.experiment_id
    except Exception:  # MLflow's own, the network's: the run is kept all the same, and a link is missing
        return ""
    return f"{uri.rstrip('/')}/#/experiments/{experiment}/runs/{live.run_id}"
