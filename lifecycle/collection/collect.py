"""Finding what may go, and removing it: what others marked as deleted and a version needs is saved first."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.collection.items import Item, Plan, Saved
from lifecycle.collection.local import cache_items, report_items, served_items, work_items
from lifecycle.collection.needed import find_needed, keep_ledgers, unneeded_versions
from lifecycle.collection.retention import Retention
from lifecycle.collection.revival import revive_model, revive_run
from lifecycle.collection.tracked import endangered, families, kept_families, model_items, run_items
from lifecycle.core.progress import NullProgress, Progress, tracked
from lifecycle.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient


def find_garbage(
    client: MlflowClient, workspace: Workspace, retention: Retention, *, versions: bool = False
) -> Plan:
    """What nothing refers to, and what has to be saved; changes nothing.

    Args:
        client: Connected to the workspace's tracking store and registry.
        workspace: Only its own runs and files are looked at.
        retention: How long things stay in any case.
        versions: Registered versions may go too: without an alias, and outside the retention of the ledger.
    """
    going = unneeded_versions(client, retention) if versions else []
    items = [
        Item(
            kind="version",
            name=f"{version.name} version {version.version}",
            why="no alias, no kept promotion",
            address=f"{version.name}/{version.version}",
            size_bytes=0,  # its files are those of a logged model
        )
        for version in going
    ]
    needed = find_needed(client, without=[item.address for item in items])
    keep_ledgers(client, needed, retention)
    saved = tuple(endangered(client, needed))
    runs = families(client, workspace.identity)
    kept = kept_families(runs, needed, retention)
    items += [item for family in runs if family not in kept for item in run_items(family)]
    owned = {run.info.run_id for family in runs for run in family}
    busy = {run.info.run_id for family in runs for run in family if run.info.status == "RUNNING"}
    items += model_items(client, needed, owned, busy, retention)
    tags = [run.data.tags for family in kept for run in family]
    used = [(each.get("lifecycle.stage", ""), each.get("lifecycle.key", "")) for each in tags]
    items += cache_items(workspace, needed, used, retention)
    items += report_items(workspace, [run.info.run_id for family in kept for run in family], retention)
    items += work_items(workspace, retention)
    items += served_items(workspace, needed, retention)
    return Plan(items=tuple(items), saved=saved)


def collect(client: MlflowClient, plan: Plan, progress: Progress | None = None) -> None:
    """Save what has to be saved, then remove the rest; in MLflow things are marked as deleted.

    Args:
        client: Connected to the workspace's tracking store and registry.
        plan: What `find_garbage` found.
        progress: Told how much of it is done.

    Raises:
        LifecycleError: something that is needed cannot be saved; nothing was removed.
    """
    for saved in plan.saved:
        _save(client, saved)
    for item in tracked(progress or NullProgress(), "removing", plan.items):
        _remove(client, item)


def _save(client: MlflowClient, saved: Saved) -> None:
    if saved.kind == "run":
        revive_run(client, saved.address)
    else:
        revive_model(client, saved.address)


def _remove(client: MlflowClient, item: Item) -> None:
    if item.kind == "version":
        name, _, number = item.address.rpartition("/")
        client.delete_model_version(name, number)
    elif item.kind == "run":
        client.delete_run(item.address)
    elif item.kind == "logged model":
        client.delete_logged_model(item.address)
    else:
        shutil.rmtree(Path(item.address), ignore_errors=True)
