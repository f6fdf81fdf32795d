"""All that a page is made from, and finding it once a run has ended."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from lifecycle.card.compose import Known
from lifecycle.core.artifact import Artifact
from lifecycle.core.canonical import JSON
from lifecycle.core.cores import available_cores
from lifecycle.ledger import Ledger
from lifecycle.pipeline.runner import Failure, Outcome
from lifecycle.pipeline.spec import Pipeline
from lifecycle.report.page.curves import Curves, find_curves
from lifecycle.tracking.recorder import BRIEFLY_S
from lifecycle.workspace import Workspace

if TYPE_CHECKING:
    from lifecycle.history import Entry
    from lifecycle.tracking import RecordedRun
    from lifecycle.train.loggers.mlflow_run import MLFlowRun

Effects = Mapping[str, Sequence[tuple[str, float]]]
"""By what was changed: layers and how much worse the metric got, the worst first."""


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What is known of a run.

    Attributes:
        pipeline: What was asked for.
        outcomes: What became of each stage.
        run_id: In MLflow.
        ended: When.
        curves: What was logged while models were fitted.
        effects: What single layers cost, where `lifecycle sensitivity` has looked at this model.
        promotion: The last entry of the ledger about this version, if it was ever promoted.
        failure: Why it ended before its last stage, if it did.
        machine: What it ran on.
        notes: What could not be found out, in sentences.
    """

    pipeline: Pipeline
    outcomes: Sequence[Outcome]
    run_id: str = ""
    ended: datetime = field(default_factory=lambda: datetime.now(UTC))
    curves: Curves = field(default_factory=dict)
    effects: Effects = field(default_factory=dict)
    promotion: Entry | None = None
    failure: Failure | None = None
    machine: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def artifact(self, kind: str) -> Artifact | None:
        """The newest artifact of a kind."""
        found = [outcome.artifact for outcome in self.outcomes if outcome.artifact.kind == kind]
        return found[-1] if found else None

    @property
    def gates(self) -> Mapping[str, Mapping[str, float]]:
        """Thresholds that promotion will apply."""
        stage = self.pipeline.stages.get("register")
        return cast("Mapping[str, Mapping[str, float]]", getattr(stage, "gates", {}))

    @property
    def known(self) -> Known:
        """What the model card is written from."""
        project = self.pipeline.project
        steps = {each.name: each.artifact for each in self.outcomes if each.artifact.kind == "checkpoint"}
        return Known(
            name=project.name,
            steps=steps,
            bundle=self.artifact("bundle"),
            evaluation=self.artifact("evaluation"),
            budget=self.pipeline.budget,
            gates=self.gates,
            about={"model": project.model.summary(project.root), "data": project.data.summary(project.root)},
        )


def find_facts(
    pipeline: Pipeline,
    workspace: Workspace,
    outcomes: Sequence[Outcome],
    run: RecordedRun,
    failure: Failure | None = None,
) -> RunFacts:
    """Gather what is known; what MLflow does not answer is left out and said so."""
    notes: list[str] = []
    curves: Curves = {}
    promotion = None
    try:
        live = run.live(BRIEFLY_S)
        experiment = live.client.get_run(live.run_id).info.experiment_id
        curves = find_curves(live.client, experiment, outcomes)
        promotion = _promotion(outcomes, live)
    except Exception as error:  # MLflow's own, the network's, the database driver's: the page is made anyway
        notes.append(f"MLflow did not answer, so curves and promotions are not shown: {_first_line(error)}")
    return RunFacts(
        pipeline=pipeline,
        outcomes=outcomes,
        run_id=run.run_id or run.record,
        curves=curves,
        effects=effects_of(workspace, outcomes),
        promotion=promotion,
        failure=failure,
        machine=machine(),
        notes=notes,
    )


def machine() -> dict[str, str]:
    """What this process runs on; its name is nobody's business."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": f"{available_cores()} of {os.cpu_count()}",
        "Python": platform.python_version(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "not known"


def effects_of(workspace: Workspace, outcomes: Sequence[Outcome]) -> Effects:
    """What `lifecycle sensitivity` kept of these models."""
    found: dict[str, Sequence[tuple[str, float]]] = {}
    for outcome in outcomes:
        for path in sorted(workspace.sensitivity.glob(f"{outcome.artifact.digest}-*.json")):
            content: dict[str, JSON] = json.loads(path.read_bytes())
            rows = cast("list[dict[str, JSON]]", content["effects"])
            found[str(content["title"])] = [
                (str(row["layer"]), float(cast("float", row["drop"]))) for row in rows
            ]
    return found


def _promotion(outcomes: Sequence[Outcome], run: MLFlowRun) -> Entry | None:
    for outcome in outcomes:
        if outcome.artifact.kind == "version":
            content = outcome.artifact.read_json("version.json")
            entries = Ledger(run.client, str(content["name"])).read().of()
            mine = [entry for entry in entries if entry.version == content["number"]]
            return mine[-1] if mine else None
    return None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
