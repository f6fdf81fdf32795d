"""What `lifecycle gc` removes and what it leaves, with a real store and the real ``mlflow gc`` after it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from lifecycle.address import process_address
from lifecycle.collection.collect import collect, find_garbage
from lifecycle.collection.items import Item
from lifecycle.collection.retention import Retention
from lifecycle.collection.revival import revive_model
from lifecycle.core.artifact import Artifact, Draft
from lifecycle.core.errors import LifecycleError
from lifecycle.registry import RUN, Version, alias_of, fetch, find_version, set_alias
from lifecycle.tracking import OWNER, PARENT, open_experiment
from lifecycle.workspace import Workspace
from tests.versions import promoted, registered, stored_file

NOTHING_KEPT = Retention(promotions=1, runs=0, days=0)


@pytest.fixture
def workspace(client: MlflowClient, tmp_path: Path) -> Workspace:
    place = Workspace(tmp_path / ".lifecycle")
    open_experiment(client, "digits", place)
    return place


def version(client: MlflowClient, workspace: Workspace, folder: Path, label: str) -> Version:
    """A registered version, made by a run of this workspace."""
    made = registered(client, folder / label, label=label)
    client.set_tag(made.tags[RUN], OWNER, workspace.identity)
    client.set_terminated(made.tags[RUN])
    return made


def model_id(made: Version) -> str:
    return made.source.removeprefix("models:/")


def mlflow_gc(client: MlflowClient) -> None:
    """The command as it is typed, but for starting another Python."""
    from mlflow.cli import cli

    with process_address(client):
        done = CliRunner().invoke(cli, ["gc", "--backend-store-uri", client.tracking_uri])
    assert done.exit_code == 0, done.output


def exists(client: MlflowClient, run_id: str) -> bool:
    try:
        client.get_run(run_id)
    except MlflowException:
        return False
    return True


def kinds(items: tuple[Item, ...]) -> list[tuple[str, str]]:
    return [(item.kind, item.name.split()[0]) for item in items]


def test_after_it_mlflow_gc_destroys_nothing_that_is_needed(
    client: MlflowClient, workspace: Workspace, tmp_path: Path
) -> None:
    first, second, third, last = (version(client, workspace, tmp_path, label) for label in "abcd")
    promoted(client, first)
    promoted(client, second)
    with process_address(client):
        copy = client.copy_model_version("models:/digits/2", "digits-prod")  # a pointer to its files
    client.set_registered_model_alias("digits-prod", "champion", str(copy.version))
    kept = {each.number: stored_file(each, client, "bundle/model.onnx") for each in (first, second, last)}
    gone = stored_file(third, client, "bundle/model.onnx")

    for each in (first, second):  # what somebody cleaned up in MLflow's pages
        client.delete_run(each.tags[RUN])
        client.delete_logged_model(model_id(each))
    for each in (first, second, third):
        client.delete_model_version("digits", str(each.number))

    plan = find_garbage(client, workspace, NOTHING_KEPT)
    assert kinds(plan.items)[:2] == [("run", plan.items[0].name.split()[0]), ("logged model", "digits")]
    assert {(saved.kind, saved.needed_by) for saved in plan.saved} == {
        (kind, "digits-prod version 1") for kind in ("run", "logged model")
    }
    plan = find_garbage(client, workspace, Retention(promotions=2, runs=0, days=0))
    assert [saved.needed_by for saved in plan.saved].count("digits.ledger version 1") == 1, (
        "the ledger keeps the files of a deleted version"
    )
    collect(client, plan)
    mlflow_gc(client)

    assert all(file.is_file() for file in kept.values())
    assert not gone.exists()
    assert not exists(client, third.tags[RUN]) and exists(client, second.tags[RUN])
    prod = find_version(client, "models:/digits-prod@champion")
    assert fetch(client, prod, tmp_path / "fetched")[0].digest == second.digest
    assert fetch(client, last, tmp_path / "fetched")[0].digest == last.digest
    after = find_garbage(client, workspace, Retention(promotions=2, runs=0, days=0))
    assert (after.items, after.saved) == ((), ())


def test_without_it_mlflow_gc_would(client: MlflowClient, workspace: Workspace, tmp_path: Path) -> None:
    """Else the test above would show nothing."""
    made = version(client, workspace, tmp_path, "a")
    file = stored_file(made, client, "bundle/model.onnx")
    client.delete_logged_model(model_id(made))
    mlflow_gc(client)
    assert not file.exists()
    assert client.get_model_version("digits", "1").status == "READY"
    assert not revive_model(client, model_id(made)), "gone for good"


def test_versions_go_only_when_asked_for(client: MlflowClient, workspace: Workspace, tmp_path: Path) -> None:
    made = [version(client, workspace, tmp_path, label) for label in "abcde"]
    for each in made[:3]:
        promoted(client, each)
    assert not find_garbage(client, workspace, NOTHING_KEPT).items
    plan = find_garbage(client, workspace, NOTHING_KEPT, versions=True)
    # Version 2 is what a rollback goes to, 3 champion, 5 challenger.
    assert [item.address for item in plan.items if item.kind == "version"] == ["digits/4", "digits/1"]
    assert len([item for item in plan.items if item.kind == "logged model"]) == 2
    collect(client, plan)
    assert alias_of(client, "digits", "champion") == find_version(client, "models:/digits/3")
    young = find_garbage(client, workspace, Retention(promotions=1, runs=0), versions=True)
    assert not young.items


def test_runs_that_are_young_new_or_at_work_stay(client: MlflowClient, workspace: Workspace) -> None:
    experiment = open_experiment(client, "digits", workspace)
    runs = []
    for _ in range(3):
        with (
            experiment.run("digits", {}) as parent,
            experiment.run("train", {PARENT: parent.run_id}) as stage,
        ):
            runs.append({parent.run_id, stage.run_id})
    foreign = client.create_run(experiment.id).info.run_id
    client.set_terminated(foreign)
    plan = find_garbage(client, workspace, Retention(runs=2, days=0))
    assert {item.address for item in plan.items} == runs[0]
    assert not find_garbage(client, workspace, Retention(runs=0)).items
    with experiment.run("digits", {}):
        addresses = {item.address for item in find_garbage(client, workspace, NOTHING_KEPT).items}
    assert addresses == runs[0] | runs[1] | runs[2]


def cached(workspace: Workspace, stage: str, key: str, parent: Artifact | None = None) -> Artifact:
    with Draft(workspace.cache / stage / key) as draft:
        (draft.path / "file").write_text(key)
        return draft.seal("checkpoint", parent=parent)


def test_results_that_a_kept_version_or_run_came_from_stay(
    client: MlflowClient, workspace: Workspace, tmp_path: Path
) -> None:
    made = version(client, workspace, tmp_path, "a")
    bundle, _ = fetch(client, made, workspace.served)
    trained, other, used = (cached(workspace, "train", key) for key in ("trained", "other", "used"))
    with Draft(workspace.cache / "export" / "exported") as draft:
        for file in bundle.path.iterdir():
            if file.name not in ("manifest.json", "facts.json"):
                (draft.path / file.name).write_bytes(file.read_bytes())
        exported = draft.seal("bundle", parent=trained)
    assert exported.digest == made.digest
    damaged = cached(workspace, "train", "damaged")
    (damaged.path / "file").unlink()
    work = workspace.cache / "train" / ".killed.work"
    work.mkdir()
    tags = {"lifecycle.stage": "train", "lifecycle.key": "used"}
    with open_experiment(client, "digits", workspace).run("train", tags):
        pass
    retention = Retention(promotions=1, runs=1, days=0)
    plan = find_garbage(client, workspace, retention)
    files = {Path(item.address) for item in plan.items if item.kind not in ("run", "logged model")}
    assert files == {other.path, damaged.path, work}
    assert next(item for item in plan.items if item.address == str(other.path)).size_bytes > 100
    collect(client, plan)
    assert trained.path.is_dir() and exported.path.is_dir() and used.path.is_dir() and bundle.path.is_dir()
    assert not any(path.exists() for path in files)


def test_a_page_goes_with_its_run(client: MlflowClient, workspace: Workspace) -> None:
    experiment = open_experiment(client, "digits", workspace)
    pages = []
    for _ in range(2):
        with experiment.run("digits", {}) as run:
            page = workspace.reports / f"20261126-120000-{run.run_id}" / "report.html"
            page.parent.mkdir(parents=True)
            page.write_text("page")
            pages.append(page)
    collect(client, find_garbage(client, workspace, Retention(runs=1, days=0)))
    assert [page.exists() for page in pages] == [False, True]


def test_a_copy_of_a_version_that_is_gone_goes(
    client: MlflowClient, workspace: Workspace, tmp_path: Path
) -> None:
    made = version(client, workspace, tmp_path, "a")
    bundle, _ = fetch(client, made, workspace.served)
    client.delete_registered_model("digits")
    plan = find_garbage(client, workspace, NOTHING_KEPT)
    assert [item.kind for item in plan.items] == ["run", "logged model", "served copy"]
    collect(client, plan)
    assert not bundle.path.exists()


def test_a_deleted_experiment_is_restored_with_its_runs(
    client: MlflowClient, workspace: Workspace, tmp_path: Path
) -> None:
    made = version(client, workspace, tmp_path, "a")
    experiment = open_experiment(client, "digits", workspace)
    set_alias(client, made, "champion")
    client.delete_experiment(experiment.id)
    plan = find_garbage(client, workspace, NOTHING_KEPT)
    assert [saved.kind for saved in plan.saved] == ["run"]
    collect(client, plan)
    assert client.get_experiment(experiment.id).lifecycle_stage == "active"
    assert client.get_run(made.tags[RUN]).info.lifecycle_stage == "active"


def test_behind_a_server_a_deleted_model_cannot_be_restored_and_is_said_so() -> None:
    away = MlflowClient("http://127.0.0.1:9", "http://127.0.0.1:9")
    with pytest.raises(LifecycleError, match="is needed and marked as deleted; the server at http") as error:
        revive_model(away, "m-1")
    assert "with MLFLOW_TRACKING_URI set to the server's database" in error.value.hint
