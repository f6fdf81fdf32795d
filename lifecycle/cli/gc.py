"""``lifecycle gc``: what nothing refers to goes, what a version needs stays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifecycle.cli.options import Waiting, json_option, wait_option, workspace_option
from lifecycle.cli.output import print_json, print_note, print_table, print_text
from lifecycle.core.progress import terminal_progress, working

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from lifecycle.collection.items import Plan
    from lifecycle.collection.retention import Retention
    from lifecycle.workspace import Workspace


@click.command(
    cls=Waiting,
    examples="""
    lifecycle gc
        What would go; nothing is changed.
    lifecycle gc --yes --keep-days 7
        Remove what nothing has referred to for a week.
    """,
)
@click.option("--yes", is_flag=True, help="Do it; without, only show what would go.")
@click.option("--versions", is_flag=True, help="Remove registered versions too: no alias, no kept promotion.")
@click.option("--keep-promotions", default=10, show_default=True, help="Promotions whose versions stay.")
@click.option("--keep-runs", default=10, show_default=True, help="Pipeline runs that stay, in each project.")
@click.option("--keep-days", default=30.0, show_default=True, help="Whatever is younger stays.")
@workspace_option
@wait_option
@json_option
def gc(
    yes: bool,
    versions: bool,
    keep_promotions: int,
    keep_runs: int,
    keep_days: float,
    workspace: Path | None,
    wait: float,
    as_json: bool,
) -> None:
    """Remove results, runs, logged models and served copies that nothing refers to.

    What a registered version, an alias or a kept promotion needs stays; where others have marked it as
    deleted in MLflow, it is restored, so that `mlflow gc` does not destroy it.
    """
    from lifecycle.collection.retention import Retention
    from lifecycle.verbs.upkeep import collected

    retention = Retention(promotions=keep_promotions, runs=keep_runs, days=keep_days)
    plan, client = collected(
        yes=yes,
        versions=versions,
        retention=retention,
        workspace=workspace,
        wait_s=wait,
        note=print_note,
        progress=terminal_progress(),
    )
    if as_json:
        print_json(
            {
                "done": yes,
                "bytes": plan.size_bytes,
                "items": [item.to_json() for item in plan.items],
                "saved": [saved.to_json() for saved in plan.saved],
            }
        )
    else:
        _show(plan, yes)
    if yes:
        _tell_what_is_left(plan, client.tracking_uri)


def _collected(
    client: MlflowClient, place: Workspace, retention: Retention, *, versions: bool, yes: bool, wait_s: float
) -> Plan:
    """What there is to collect; with `yes` it is gone."""
    from contextlib import nullcontext

    from lifecycle.collection.collect import collect, find_garbage

    with place.locked(wait_s, print_note) if yes else nullcontext():
        with working("looking for what nothing refers to"):
            plan = find_garbage(client, place, retention, versions=versions)
        if yes:
            collect(client, plan, terminal_progress())
    return plan


def _tell_what_is_left(plan: Plan, tracking_uri: str) -> None:
    """What MLflow has marked as deleted is freed by a command of its own."""
    if any(item.kind in ("run", "logged model") for item in plan.items):
        # An address in the environment may hold a password, which a shell history should not.
        uri = "$MLFLOW_TRACKING_URI" if os.environ.get("MLFLOW_TRACKING_URI") else tracking_uri
        print_note(
            "Runs and logged models are marked as deleted in MLflow; their bytes are freed by:\n"
            f"  mlflow gc --backend-store-uri {uri} --tracking-uri {uri}"
        )


def _show(plan: Plan, yes: bool) -> None:
    from lifecycle.report.units import size_text

    if plan.saved:
        rows = [[saved.kind, saved.address[:14], saved.needed_by] for saved in plan.saved]
        title = "Restored: somebody had deleted it in MLflow" if yes else "To be restored, for it is needed"
        print_table(title, ("", "id", "needed by"), rows)
    if not plan.items:
        print_text("Nothing to collect: all there is is referred to, or young.")
        return
    rows = [
        [item.kind, item.name, item.why, "?" if item.size_bytes is None else size_text(item.size_bytes)]
        for item in plan.items
    ]
    rows.append(["all", f"{len(plan.items)}", "", size_text(plan.size_bytes)])
    print_table("Removed" if yes else "To be removed", ("", "which", "why", "size"), rows)
    if not yes:
        print_note("Nothing was changed. Add --yes to do it.")
