"""What is asked of each image."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.image.build import Image
from tests.image.container import Container, started
from tests.postgres import mlflow_server

NAME = "tumours"
QUICK = ("train.trainer.max_epochs=15", "prune.epochs=2", "evaluate.steps=false", "evaluate.timed_calls=2")
LIFECYCLE = str(Path(sys.executable).with_name("lifecycle"))
Say = Callable[[str], None]


def champion(folder: Path) -> Path:
    """Train, register and promote a small model outside of any image; returns the folder of its image to be."""
    folder.mkdir()
    project = folder / NAME
    with server(folder) as url:
        for words in (
            ("init", str(project), "--template", "tabular"),
            ("run", str(project / "pipeline.yaml"), *QUICK),
            ("promote", NAME, "--workspace", str(project / ".lifecycle")),
            ("package", f"models:/{NAME}@champion", "--into", str(folder / "packed")),
        ):
            done = subprocess.run(
                [LIFECYCLE, *words],
                env={**os.environ, "MLFLOW_TRACKING_URI": url, "OMP_NUM_THREADS": "1"},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise SystemExit(f"lifecycle {' '.join(words)}: {done.stdout}{done.stderr}")
    return folder / "packed"


def server(folder: Path) -> AbstractContextManager[str]:
    """A tracking server that knows the champion; its address."""
    return mlflow_server(f"sqlite:///{folder}/mlflow.db", folder)


def check_serve(image: Image, outside: Path, work: Path, say: Say) -> None:
    """The champion of a registry answers from it, as the user that the Dockerfile names."""
    with server(outside) as url:
        environment = {"MODEL_NAME": NAME, "MLFLOW_TRACKING_URI": url}
        with started(image, work / "serve", environment=environment) as container:
            answers(container, say)
    with started(image, work / "unnamed") as container:
        code = container.process.wait(timeout=60)
        assert code != 0 and "MODEL_NAME" in container.log.read_text(), container.log.read_text()
    say(f"without MODEL_NAME it ends with {code} and says so")


def check_package(image: Image, outside: Path, work: Path, say: Say) -> None:
    """What `lifecycle package` wrote answers without any registry."""
    with started(image, work / "package") as container:
        answers(container, say)


def answers(container: Container, say: Say) -> None:
    """Healthy, not root, without torch; /predict answers; SIGTERM ends it."""
    took = container.wait_healthy()
    say(f"HEALTHCHECK's command ends with 0 after {took:.1f} s")
    users = {line.split()[1] for line in _status(container.first) if line.startswith(("Uid:", "Gid:"))}
    assert users == {"10001"}, users
    caps = [line for line in _status(container.first) if line.startswith("CapEff")]
    assert int(caps[0].split()[1], 16) == 0, caps
    say("process 1 is 10001:10001 and has no capabilities")
    found = container.execute("python", "-c", TORCH)
    assert found.stdout == "False\n", found
    say("no torch among its packages")
    rows = [[0.0] * 30, [1.0] * 30]
    said = _ask("/predict", rows)
    assert len(said["predictions"]) == 2 and said["model_name"] == NAME, said
    say(f"/predict answers: {json.dumps(said)[:150]}…")
    code = container.stop(signal.SIGTERM)
    assert code == 0, (code, container.log.read_text()[-3000:])
    say("SIGTERM to process 1 ends it with 0")


def check_train(image: Image, outside: Path, work: Path, say: Say) -> None:
    """Its command shows the help, and a pipeline runs in it."""
    with started(image, work / "help") as container:
        assert container.process.wait(timeout=60) == 0
        assert "Usage: lifecycle" in container.log.read_text()
    say("its command shows the help")
    words = f"lifecycle init {NAME} --template tabular && cd {NAME} && lifecycle run pipeline.yaml {' '.join(QUICK)}"
    shell = replace(
        image, entrypoint=("sh", "-c", f"{words} && lifecycle status --json && id -u"), command=()
    )
    with started(shell, work / "run") as container:
        code = container.process.wait(timeout=900)
        printed = container.log.read_text()
    assert code == 0 and printed.endswith("\n10001\n"), (code, printed[-3000:])
    assert f'"model": "{NAME}"' in printed, printed[-3000:]
    say("init, run and status work in it as user 10001: a version is registered")


TORCH = "import importlib.util as u; print(u.find_spec('torch') is not None)"


def _status(number: int) -> list[str]:
    return Path(f"/proc/{number}/status").read_text().splitlines()


def _ask(path: str, question: object) -> Any:
    """The answer of what listens on the port of the image."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:3000{path}", json.dumps(question).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
