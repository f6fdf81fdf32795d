"""A server that follows an alias of a real registry, asked without a pause meanwhile."""

from __future__ import annotations

import logging
import math
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from lifecycle.cli.main import cli
from lifecycle.promotion import promote, propose
from lifecycle.registry import fetch
from lifecycle.serve.settings import ServedModel, Settings
from lifecycle.tracking import connect
from lifecycle.workspace import Workspace
from tests.serve.load import Load, once
from tests.serve.marked import Marked
from tests.serve.servers import Server, started

logging.getLogger("httpx").setLevel(logging.WARNING)


@pytest.fixture(scope="module")
def workspace(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = Workspace(tmp_path_factory.mktemp("project") / ".lifecycle")
    made.path.mkdir()
    shutil.copy(empty_store, made.path / "mlflow.db")
    return made


@pytest.fixture(scope="module")
def marked(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Marked:
    """Versions 1 and 2 add 1000 and 2000."""
    folder = tmp_path_factory.mktemp("marked")
    before = Path.cwd()
    os.chdir(folder)  # where MLflow puts files that are given no place
    made = Marked(connect(workspace, {}), folder, "marked", {})
    made.add(1000.0)
    made.add(2000.0)
    made.move("1")
    os.chdir(before)
    return made


@pytest.fixture(scope="module")
def second(marked: Marked, tmp_path_factory: pytest.TempPathFactory) -> Marked:
    """Another model of the same registry, of three columns; versions 1 and 2 add 30 and 40."""
    folder = tmp_path_factory.mktemp("second")
    before = Path.cwd()
    os.chdir(folder)
    made = Marked(marked.client, folder, "second", {})
    for mark in (30.0, 40.0):
        made.add(mark, width=3)
    made.move("1")
    os.chdir(before)
    return made


@pytest.fixture(scope="module")
def server(
    marked: Marked, second: Marked, workspace: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Two workers follow the champions of two models."""
    settings = settings_of(workspace, marked, second)
    with started(settings, tmp_path_factory.mktemp("server")) as running:
        url = running.url()
        running.wait_for(lambda: "following" in about(url) or None)
        yield running


def settings_of(workspace: Workspace, *followed: Marked) -> Settings:
    models = []
    for one in followed:
        bundle, _ = fetch(one.client, _version(one, "1"), workspace.served)
        models.append(ServedModel(name=one.name, version="1", bundle=bundle.path, follow=one.uri))
    return Settings(models=tuple(models), port=0, workers=2, threads=1, poll_s=0.3, workspace=workspace.path)


def _version(marked: Marked, number: str) -> Any:
    from lifecycle.registry import find_version

    return find_version(marked.client, f"models:/{marked.name}/{number}")


def about(url: str) -> dict[str, Any]:
    content: dict[str, Any] = once(f"{url}/v2/models/marked").json()
    return content


def versions(url: str, name: str = "marked", asks: int = 8) -> set[str]:
    """Which versions answer, asked on connections of their own so that every worker is met."""
    return {once(f"{url}/v2/models/{name}").headers["x-model-version"] for _ in range(asks)}


def served(server: Server, version: str, name: str = "marked") -> None:
    """Wait until both workers serve it by their own account: an answer tells of one, and who is busy gives none."""
    both = re.compile(rf'^lifecycle_model_info\{{.*model="{name}",version="{version}"\}} 2\.0$', re.MULTILINE)
    page = f"{server.url()}/metrics"
    server.wait_for(lambda: True if both.search(once(page).text) else None)


def state(server: Server, look: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """What is known of the alias, as soon as it is as `look` wants it."""
    found: dict[str, Any] = server.wait_for(
        lambda: known if look(known := about(server.url())["following"]) else None
    )
    return found


def counted(server: Server, series: str) -> float:
    """The value of a series in ``/metrics``; 0 where there is none."""
    return value_of(once(f"{server.url()}/metrics").text, series)


def value_of(page: str, series: str) -> float:
    """The value of a series on a page of metrics; 0 where there is none."""
    lines = [line for line in page.splitlines() if line.startswith(series + " ")]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0


def test_the_alias_moves_under_load_and_no_answer_fails_or_mixes_versions(
    server: Server, marked: Marked
) -> None:
    swaps = counted(server, 'lifecycle_model_swaps_total{model="marked",outcome="swapped"}')
    with Load(server.url(), "marked", marked.marks, clients=4, pause_s=0.01) as load:
        for version in ("2", "1") * 3:
            marked.move(version)
            served(server, version)
    assert load.failures == []
    assert load.answers["version 1"] > 50
    assert load.answers["version 2"] > 50
    assert counted(server, 'lifecycle_model_swaps_total{model="marked",outcome="swapped"}') == swaps + 12
    assert about(server.url())["following"]["refused"] is None
    digest = _version(marked, "1").digest
    assert (
        counted(server, f'lifecycle_model_info{{digest="{digest}",model="marked",version="1"}}') == 2
    )  # workers


def test_each_model_is_followed_by_itself(server: Server, marked: Marked, second: Marked) -> None:
    """One moves while the other is offered something bad."""
    marked.move(marked.add(math.inf))
    second.move("2")
    served(server, "2", "second")
    state(server, lambda known: known["refused"])
    assert versions(server.url()) == {"1"}
    asked = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
    with httpx.Client(timeout=30) as client:
        answer = client.post(f"{server.url()}/v2/models/second/infer", json=asked).json()
    assert (answer["model_version"], answer["outputs"][0]["data"]) == ("2", [41, 42, 43])
    marked.move("1")
    state(server, lambda known: known["refused"] is None)


@pytest.mark.parametrize(
    ("poison", "reason"),
    [
        ("add_poisoned", "output 'y' has nan at random inputs of batch 1"),
        ("add_damaged", "model.onnx differs from its SHA-256"),
        ("add_wider", "it has another signature: input 'x' is float32 [batch, 3]; it was float32 [batch, 2]"),
    ],
)
def test_a_bad_version_is_refused_and_the_old_one_goes_on(
    server: Server, marked: Marked, poison: str, reason: str
) -> None:
    with Load(server.url(), "marked", marked.marks, clients=1, pause_s=0.01) as load:
        bad = marked.add(7.0, width=3) if poison == "add_wider" else getattr(marked, poison)()
        marked.move(bad)
        refused = state(server, lambda known: known["refused"])["refused"]
        assert refused["version"] == str(bad.number)
        assert reason in refused["reason"]
        looks = counted(server, 'lifecycle_registry_looks_total{model="marked",outcome="answered"}')
        answered = 'lifecycle_registry_looks_total{model="marked",outcome="answered"}'
        server.wait_for(lambda: counted(server, answered) > looks + 2 or None)
        assert versions(server.url()) == {"1"}
        assert counted(server, 'lifecycle_model_refused{model="marked"}') == 1
        marked.move("1")
        state(server, lambda known: known["refused"] is None)
    assert load.failures == []
    line = f"version {bad.number} is refused, version 1 goes on: "
    assert server.stderr.count(line) == 1, "tried once, however often it was looked at"


def test_the_registry_may_go_and_come_back(server: Server, marked: Marked, workspace: Workspace) -> None:
    away = workspace.path.with_name(
        "away"
    )  # in one step: where the folder is, a look would make an empty store
    with Load(server.url(), "marked", marked.marks, clients=1, pause_s=0.01) as load:
        workspace.path.rename(away)
        try:
            known = state(server, lambda known: not known["registry"]["answers"])
            assert "unable to open database file" in known["registry"]["error"]
            before = load.total
            server.wait_for(lambda: load.total > before + 20 or None)
            assert counted(server, 'lifecycle_registry_up{model="marked"}') == 0
        finally:
            away.rename(workspace.path)
        marked.move("2")
        served(server, "2")
        state(server, lambda known: known["registry"] | {"last_answer": 0} == _WELL)
        marked.move("1")
        served(server, "1")
    assert load.failures == []
    assert "version 1 goes on while the registry is away" in server.stderr
    assert "the registry answers again" in server.stderr


_WELL = {"answers": True, "error": None, "last_answer": 0}


def test_an_alias_that_is_gone_changes_nothing(server: Server, marked: Marked) -> None:
    marked.client.delete_registered_model_alias(marked.name, "champion")
    known = state(server, lambda known: known["registry"]["error"])
    assert "'models:/marked@champion' does not exist" in known["registry"]["error"]
    assert known["registry"]["answers"] is True
    assert versions(server.url()) == {"1"}
    marked.move("1")
    state(server, lambda known: known["registry"]["error"] is None)


def test_killed_processes_are_replaced_and_go_on_from_there(server: Server, marked: Marked) -> None:
    """A worker begins with the version that is served now, not with that of the start."""
    url = server.url()
    marked.move("2")
    served(server, "2")
    with Load(url, "marked", marked.marks, clients=2, pause_s=0.01, reconnect=True) as load:
        follower, *_ = [
            one for one in server.workers() if "lifecycle.serve.following.follower" in one.cmdline()
        ]
        workers = [one for one in server.workers() if "_bentoml_impl.worker.service" in one.cmdline()]
        assert len(workers) == 2
        requests = 'lifecycle_http_requests_total{method="GET",route="/v2/models/{name}",status="200"}'
        before = counted(server, requests)
        follower.kill()
        workers[0].send_signal(signal.SIGKILL)

        def replaced() -> bool | None:
            alive = {one.pid for one in server.workers()} - {follower.pid, workers[0].pid}
            return (len(alive) == 3 and _series(server, "lifecycle_process_cpu_seconds_total") == 3) or None

        server.wait_for(replaced)
        assert versions(url) == {"2"}
        assert counted(server, requests) > before, "what the dead worker counted is still there"
        marked.move("1")
        served(server, "1")
    # Its connections broke; whatever else was asked was answered.
    assert load.ended + len(load.failures) <= 2, load.failures


def _series(server: Server, name: str) -> int:
    lines = once(f"{server.url()}/metrics").text.splitlines()
    return sum(line.startswith(name + "{") for line in lines)


def test_no_worker_loads_mlflow(server: Server) -> None:
    """Only the follower does: its database driver is mapped there, and nowhere else."""
    loaded = {
        one.pid: any("sqlalchemy" in item.path for item in one.memory_maps())
        for one in server.workers()
        if "-m" in one.cmdline()
    }
    assert sorted(loaded.values()) == [False, False, True]
    assert not server.torch_was_imported, "nor does the follower, or what tries a version, load torch"


def test_a_rollback_moves_the_endpoint_back(server: Server, marked: Marked, workspace: Workspace) -> None:
    """By the command, within a look or two, while it is asked without a pause."""
    marked.client.delete_registered_model_alias(marked.name, "champion")
    for number in ("1", "2"):
        promotion = propose(marked.client, f"models:/marked/{number}", workspace.served)
        promote(marked.client, promotion, force=True, reason="a test of serving")
    served(server, "2")
    answered = 'lifecycle_registry_looks_total{model="marked",outcome="answered"}'
    accepted, page = (
        'lifecycle_candidates_total{model="marked",outcome="accepted"}',
        f"{server.url()}/metrics",
    )
    with (
        httpx.Client(timeout=30) as asked,
        Load(server.url(), "marked", marked.marks, clients=2, pause_s=0.01) as load,
    ):
        taken = value_of(asked.get(page).text, accepted)
        arguments = ["rollback", "marked", "--workspace", str(workspace.path), "--json"]
        assert CliRunner().invoke(cli, arguments, catch_exceptions=False).exit_code == 0
        looks = value_of(asked.get(page).text, answered)
        began = [time.monotonic()]

        def taken_over() -> str | None:
            began.append(time.monotonic())
            text = asked.get(page).text
            return text if value_of(text, accepted) > taken else None

        # Moved and taken are one look; the page may have been written between two, or come late.
        text = server.wait_for(taken_over)
        late = (time.monotonic() - began[-2]) / (0.8 * 0.3)
        assert value_of(text, answered) - looks <= 2 + late
        served(server, "1")
    assert load.failures == []
    assert set(load.answers) == {"200", "version 1", "version 2"}
