"""Promote, serve, predict: the command line on a registry with a small real version in it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
from mlflow import MlflowClient

from tests.projects import Project
from tests.versions import image, registered


def test_promote_shows_every_gate_and_moves_the_champion(client: MlflowClient, tmp_path: Path) -> None:
    registered(client, tmp_path / "a")
    done = Project(tmp_path).lifecycle("promote", "digits")
    assert done.returncode == 0, done.stderr
    for text in ("as registered", "1 of 1 comparisons hold", "test_acc", "≥ 0.95"):
        assert text in done.stdout
    assert "digits@champion is version 1." in done.stdout
    assert client.get_model_version_by_alias("digits", "champion").version == 1


def test_a_refusal_has_its_own_exit_code_and_names_the_row(client: MlflowClient, tmp_path: Path) -> None:
    registered(client, tmp_path / "a", test_acc=0.9)
    done = Project(tmp_path).lifecycle("promote", "digits", "1", "--json")
    assert done.returncode == 3
    rows = {row["term"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["test_acc"] == {"term": "test_acc", "measured": "0.9", "limit": "≥ 0.95", "holds": False}
    assert "REFUSED  test_acc: 0.9 (allowed: ≥ 0.95)" in done.stderr
    assert "Traceback" not in done.stderr
    assert set(client.get_registered_model("digits").aliases) == {"challenger"}


def test_the_champion_is_served_and_asked_from_the_command_line(client: MlflowClient, tmp_path: Path) -> None:
    project = Project(tmp_path)
    version = registered(client, tmp_path / "a")
    assert project.lifecycle("promote", "digits").returncode == 0
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        server = subprocess.Popen(
            project.command("serve", "models:/digits@champion", "--port", "0"), cwd=tmp_path, stderr=stderr
        )
    try:
        url = wait_for_url(log, server)
        images = np.concatenate([image(), np.zeros_like(image())])
        np.save(tmp_path / "rows.npy", images)
        (tmp_path / "rows.json").write_text(json.dumps(images.tolist()))
        answers = [project.lifecycle("predict", url, name, "--json") for name in ("rows.npy", "rows.json")]
        for answer in answers:
            assert answer.returncode == 0, answer.stderr
            content = json.loads(answer.stdout)
            assert (content["model_name"], content["model_version"]) == ("digits", "1")
            assert content["digest"] == version.digest
            labels = [int(item["label"]) for item in content["predictions"]]
            assert labels == [0, 1]  # a white image is a hard one, a black one speaks for all but 0
        table = project.lifecycle("predict", url, "rows.json").stdout
        assert "digits version 1" in table and "%" in table
        (tmp_path / "wrong.json").write_text("[[1, 2, 3]]")
        wrong = project.lifecycle("predict", url, "wrong.json")
        assert wrong.returncode == 2
        assert "answered 400" in wrong.stderr and "8" in wrong.stderr
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=60) == 0


def test_predict_says_when_nobody_answers(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text("[[1]]")
    done = Project(tmp_path).lifecycle("predict", "http://127.0.0.1:9", "rows.json")
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr and "lifecycle serve" in done.stderr


def wait_for_url(log: Path, server: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        if found:
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"no address in {log.read_text()!r}")
