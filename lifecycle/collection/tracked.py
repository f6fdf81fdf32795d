"""Runs and logged models of a workspace that nothing refers to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lifecycle.collection.items import Item, Saved, size_at
from lifecycle.collection.needed import Needed
from lifecycle.collection.retention import Retention
from lifecycle.collection.revival import find_model
from lifecycle.registry import DIGEST
from lifecycle.tracking import OWNER, PARENT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run


def families(client: MlflowClient, owner: str) -> list[list[Run]]:
    """The runs of a workspace: each pipeline run with its stages, the newest first."""
    found: dict[str, list[Run]] = {}
    for run in _runs(client, owner):
        found.setdefault(run.data.tags.get(PARENT, run.info.run_id), []).append(run)
    return list(found.values())


def kept_families(all_: list[list[Run]], needed: Needed, retention: Retention) -> list[list[Run]]:
    """The families that stay: needed by a version, at work, among the newest, or young."""
    since = retention.since(datetime.now(UTC)).timestamp() * 1000
    seen: dict[str, int] = {}
    kept = []
    for family in all_:
        experiment = family[0].info.experiment_id
        place = seen[experiment] = seen.get(experiment, 0) + 1
        if (
            place <= retention.runs
            or any(run.info.run_id in needed.runs or run.info.status == "RUNNING" for run in family)
            or any(needed.holds(run.info.artifact_uri) for run in family)
            or max(run.info.end_time or run.info.start_time for run in family) >= since
        ):
            kept.append(family)
    return kept


def run_items(family: list[Run]) -> Iterator[Item]:
    """A family that goes, run by run."""
    for run in sorted(family, key=lambda run: PARENT in run.data.tags, reverse=True):
        stage = run.data.tags.get("lifecycle.stage", "")
        yield Item(
            kind="run",
            name=f"{run.info.run_name or run.info.run_id[:12]}{f' ({stage})' if stage else ''}",
            why=f"{str(run.info.status).lower()}, no version needs it",
            address=run.info.run_id,
            size_bytes=size_at(run.info.artifact_uri),
        )


def model_items(
    client: MlflowClient, needed: Needed, owned: set[str], busy: set[str], retention: Retention
) -> Iterator[Item]:
    """Logged models that our runs made and no version points to.

    Args:
        client: Connected to the tracking store.
        needed: What stays.
        owned: Ids of the workspace's runs.
        busy: Those of them that are at work.
        retention: How long they stay at least.
    """
    since = retention.since(datetime.now(UTC)).timestamp() * 1000
    for model in _logged_models(client):
        if (
            DIGEST in model.tags
            and model.source_run_id in owned - busy
            and model.model_id not in needed.models
            and not needed.holds(model.artifact_location)
            and model.creation_timestamp <= since
        ):
            yield Item(
                kind="logged model",
                name=f"{model.name} {model.tags[DIGEST][:12]}",
                why="no version points to it",
                address=model.model_id,
                size_bytes=size_at(model.artifact_location),
            )


def endangered(client: MlflowClient, needed: Needed) -> Iterator[Saved]:
    """What versions need and somebody marked as deleted: the next ``mlflow gc`` would destroy it.

    The runs that made the needed models are needed from here on as well.
    """
    for model_id, version in needed.models.items():
        model = find_model(client, model_id)
        if model is None:
            yield Saved(kind="logged model", address=model_id, needed_by=version)
        elif model.source_run_id:
            needed.runs.setdefault(model.source_run_id, version)
    yield from _deleted_runs(client, needed)


def _deleted_runs(client: MlflowClient, needed: Needed) -> Iterator[Saved]:
    from mlflow.exceptions import MlflowException

    deleted: dict[str, bool] = {}  # experiments
    for run_id, version in needed.runs.items():
        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            continue  # gone for good, or in another store: nothing can be saved
        experiment = run.info.experiment_id
        if experiment not in deleted:
            deleted[experiment] = client.get_experiment(experiment).lifecycle_stage == "deleted"
        if run.info.lifecycle_stage == "deleted" or deleted[experiment]:
            yield Saved(kind="run", address=run_id, needed_by=version)


def _runs(client: MlflowClient, owner: str) -> Iterator[Run]:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    token = None
    while experiments:
        page = client.search_runs(
            experiments,
            f"tags.`{OWNER}` = '{owner}'",
            max_results=1000,
            order_by=["start_time DESC"],
            page_token=token,
        )
        yield from page
        token = page.token
        if not token:
            return


def _logged_models(client: MlflowClient) -> Iterator[LoggedModel]:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    token = None
    while experiments:
        page = client.search_logged_models(experiments, max_results=100, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
