"""What is run again and what is not, what a killed run leaves, and what a damaged file does."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.projects import STAGES, Outcome, Project, copy_digits, quick


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, Outcome]]:
    project = quick(copy_digits(tmp_path_factory.mktemp("cache") / "digits"))
    return project, project.run()


@pytest.fixture
def project(finished: tuple[Project, dict[str, Outcome]], tmp_path: Path) -> Project:
    """A finished project that the test may change; MLflow's store knows its old place, which stays."""
    shutil.copytree(finished[0].folder, tmp_path / "copy")
    return Project(tmp_path / "copy")


def ran(outcomes: dict[str, Outcome]) -> list[str]:
    return [name for name, outcome in outcomes.items() if not outcome.cached]


def test_a_second_run_runs_nothing_and_says_so(finished: tuple[Project, dict[str, Outcome]]) -> None:
    project, first = finished
    done = project.lifecycle("run", "pipeline.yaml")
    assert done.returncode == 0, done.stderr
    for name in STAGES:
        assert f"{name}: cached  {first[name].digest[:12]}" in done.stderr
    assert "running" not in done.stderr


def test_an_option_reruns_its_stage_and_those_after_it(project: Project) -> None:
    assert ran(project.run("quantize.method=static")) == list(STAGES[2:])
    assert ran(project.run()) == ["register"], "what was registered last is challenger again"


def test_an_edited_module_reruns_everything(project: Project) -> None:
    project.edit("model.py", "self.relu1(self.bn1(", "self.relu1(1.0 * self.bn1(")
    assert ran(project.run()) == list(STAGES)


def test_what_cannot_change_the_result_reruns_nothing(project: Project) -> None:
    (project.folder / "notes.py").write_text("print('not imported by the project')\n")
    assert ran(project.run("train.trainer.log_every_n_steps=5")) == []


def test_a_damaged_artifact_is_reported_and_built_again(
    finished: tuple[Project, dict[str, Outcome]], project: Project
) -> None:
    weights = next((project.workspace / "cache" / "prune").glob("*/weights.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    done = project.lifecycle("run", "pipeline.yaml")
    assert done.returncode == 0, done.stderr
    assert "weights.safetensors differs from its SHA-256; it is built again" in done.stderr
    assert "prune: done in" in done.stderr
    assert f"quantize: cached  {finished[1]['quantize'].digest[:12]}" in done.stderr


@pytest.mark.parametrize("stage", ["quantize"])  # tests/pipeline/test_chaos.py kills more often
def test_a_killed_run_is_finished_by_the_same_command(
    finished: tuple[Project, dict[str, Outcome]], tmp_path: Path, stage: str
) -> None:
    project = quick(copy_digits(tmp_path / "killed"))
    process = project.start("run", "pipeline.yaml")
    wait_for(
        lambda: any((project.workspace / "cache" / stage).glob(".*.work/*")) or stage_begun(project, stage)
    )
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    outcomes = project.run()
    assert {n: o.digest for n, o in outcomes.items()} == {n: o.digest for n, o in finished[1].items()}
    client = MlflowClient(project.tracking_uri)
    runs = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    statuses = [run.info.status for run in runs]
    assert "RUNNING" not in statuses and "KILLED" in statuses
    assert not list((project.workspace / "cache").glob("*/.*")), "no draft and no unfinished work is left"


def test_a_second_run_at_the_same_time_is_told_who_works(
    finished: tuple[Project, dict[str, Outcome]], tmp_path: Path
) -> None:
    project = quick(copy_digits(tmp_path / "busy"))
    process = project.start("run", "pipeline.yaml")
    try:
        wait_for(lambda: (project.workspace / "lock.json").is_file())
        done = project.lifecycle("run", "pipeline.yaml")
        assert done.returncode == 1
        assert f"another run works in {project.workspace}: process {process.pid}, since " in done.stderr
    finally:
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait() == 130


def stage_begun(project: Project, stage: str) -> bool:
    """The stage before has left its result: this one is at work."""
    before = STAGES[STAGES.index(stage) - 1]
    return stage != STAGES[0] and any((project.workspace / "cache" / before).glob("*/manifest.json"))


def wait_for(condition: object, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)
