"""Runs of MLflow written to directly, with statuses that can be trusted."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lifecycle.core import interrupt
from lifecycle.train.loggers.mlflow_run import MLFlowRun
from lifecycle.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARENT = "mlflow.parentRunId"
OWNER = "lifecycle.workspace"


@dataclass(frozen=True)
class Experiment:
    """Where the runs of a project are kept."""

    client: MlflowClient
    id: str
    owner: str

    def reap(self) -> int:
        """End the runs that a killed process of this workspace left running; returns how many."""
        return reap(self.client, self.owner)

    @contextmanager
    def run(self, name: str, tags: Mapping[str, str]) -> Iterator[MLFlowRun]:
        """A run that ends as FINISHED, FAILED or KILLED, whatever happens within."""
        created = self.client.create_run(self.id, tags={OWNER: self.owner, **tags}, run_name=name)
        run_id = created.info.run_id
        try:
            yield MLFlowRun(self.client, run_id)
        except BaseException as error:
            stopped = interrupt.received() is not None or not isinstance(error, Exception)
            self._end(run_id, "KILLED" if stopped else "FAILED")
            raise
        self.client.set_terminated(run_id, "FINISHED")

    def _end(self, run_id: str, status: str) -> None:
        """Set the status of a run that failed, without hiding why it did."""
        try:
            self.client.set_terminated(run_id, status)
        except Exception as error:
            logging.getLogger(__name__).warning("run %s could not be marked %s: %s", run_id, status, error)


def reap(client: MlflowClient, owner: str) -> int:
    """End the runs that a killed process of a workspace left running, in any experiment; says how many."""
    query = f"attributes.status = 'RUNNING' AND tags.`{OWNER}` = '{owner}'"
    orphans = 0
    token: str | None = None
    while True:
        page = client.search_experiments(max_results=1000, page_token=token)
        experiments = [experiment.experiment_id for experiment in page]
        # Those that are found are no longer running: the next search finds the next.
        while experiments and (found := client.search_runs(experiments, query, max_results=1000)):
            for run in found:
                client.set_terminated(run.info.run_id, "KILLED")
            orphans += len(found)
        token = page.token
        if not token:
            return orphans


def open_experiment(client: MlflowClient, name: str, workspace: Workspace) -> Experiment:
    """The experiment of that name, made if it is not there; its files go beside the embedded store."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        return Experiment(client, experiment.experiment_id, workspace.identity)
    embedded = client.tracking_uri.startswith("sqlite:")
    location = (workspace.path / "mlartifacts" / name).as_uri() if embedded else None
    try:
        made = client.create_experiment(name, artifact_location=location)
    except MlflowException:
        # Somebody else made it in between.
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        made = found.experiment_id
    return Experiment(client, made, workspace.identity)


def stage_options(client: MlflowClient, run_id: str) -> dict[str, dict[str, str]]:
    """The options of every stage of the pipeline run that a stage's run belongs to, by stage; what is known.

    Args:
        client: Connected to the tracking store.
        run_id: Of one of its stages.
    """
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException:
        return {}  # collected since, or in another store
    parent = run.data.tags.get(PARENT)
    if parent is None:
        return {}
    stages = client.search_runs(
        [run.info.experiment_id], f"tags.`{PARENT}` = '{parent}'", order_by=["start_time"]
    )
    return {stage.data.tags.get("lifecycle.stage", stage.info.run_id): stage.data.params for stage in stages}
