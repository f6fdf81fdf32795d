"""What an image would be built from, run without an image: its commands, in a Python that has its packages alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path

import httpx
import numpy as np
import pytest
from packaging.requirements import Requirement

from lifecycle.core.artifact import Artifact, Draft
from lifecycle.core.canonical import readable_json
from lifecycle.core.errors import UsageError
from lifecycle.core.ports import free_port
from lifecycle.serve.packaging.packed import packed_settings
from lifecycle.serve.packaging.packing import image_tag, pack
from lifecycle.serve.packaging.requirements import DIRECT, pinned
from lifecycle.serve.settings import ServedModel
from tests.serve.bundles import digits_bundle, expected_logits, softmax

HOUSE = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A bundle beside its evaluation, as the registry keeps them."""
    folder = tmp_path_factory.mktemp("fetched") / "Digits"
    made = digits_bundle(folder / "bundle")
    with Draft(folder / "evaluation") as draft:
        content = {"bundle": made.digest, "metrics": {"test_acc": 0.5}}
        (draft.path / "metrics.json").write_bytes(readable_json(content))
        facts = {"metrics": {"test_acc": 0.5, "latency_ms": 0.1}, "headline": ["test_acc"]}
        draft.seal("evaluation", parent=made, facts=facts)
    return made


@pytest.fixture(scope="module")
def packed(bundle: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the command makes it; a folder's version is the beginning of its digest."""
    into = tmp_path_factory.mktemp("packed") / "image"
    command = [Path(sys.executable).with_name("lifecycle"), "package", bundle.path, "--into", into]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    tag = f"digits:{bundle.digest[:12]}"
    assert done.stdout == f"{into}\nBuild it with: docker build -t {tag} -f {into}/Containerfile {into}\n"
    return into


@pytest.fixture(scope="module")
def python(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python in which nothing is installed but what requirements.txt lists."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for line in (packed / "bento" / "env" / "python" / "requirements.txt").read_text().split():
        name, _, version = line.partition("==")
        installed = distribution(name)
        assert installed.version == version
        for entry in {
            file.parts[0] for file in installed.files or () if file.parts[0] not in ("..", "__pycache__")
        }:
            if not (packages / entry).exists():
                (packages / entry).symlink_to(Path(str(installed.locate_file(entry))))
    assert not (packages / "torch").exists()
    assert not (packages / "mlflow").exists()
    return folder / "bin" / "python"


@contextmanager
def running(command: list[str | Path], cwd: Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server with an environment like that of a container; it must end well when it is told to."""
    folder.mkdir()
    environment = {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PATH": "/usr/bin",
        "BENTOML_DO_NOT_TRACK": "True",
    }
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # what was packed is looked at afterwards
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=log, stderr=log)
    try:
        yield process
        process.terminate()
        assert process.wait(60) == 0, (folder / "log").read_text()
    finally:
        process.kill()


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(url + "/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"not ready:\n{log.read_text()}")


def instruction(packed: Path, name: str) -> list[str]:
    """The words of an instruction of the Containerfile that is written as JSON."""
    text = (packed / "Containerfile").read_text().replace("\\\n", " ")
    (found,) = re.findall(rf"^{name} .*?(\[.*\])$", text, re.MULTILINE)
    words: list[str] = json.loads(found)
    return words


def test_the_containers_commands_work_with_its_packages_alone(
    packed: Path, python: Path, bundle: Artifact, tmp_path: Path
) -> None:
    source, port = packed / "bento" / "src", free_port("127.0.0.1", 0)
    url = f"http://127.0.0.1:{port}"
    words = instruction(packed, "ENTRYPOINT")
    assert words[0] == "python"
    options = ["--host", "127.0.0.1", "--port", str(port), "--threads", "1"]
    health = [word.replace("3000", str(port)) for word in instruction(packed, "HEALTHCHECK")]
    assert subprocess.run([python, *health[1:]], capture_output=True).returncode != 0
    with running([python, *words[1:], *options], source, tmp_path / "run") as process:
        wait_until_ready(url, process, tmp_path / "run" / "log")
        assert subprocess.run([python, *health[1:]]).returncode == 0
        images = np.random.default_rng(1).integers(0, 17, (2, 1, 8, 8), np.uint8)
        answer = httpx.post(f"{url}/predict", json=images.tolist(), timeout=60).json()
        assert (answer["model_name"], answer["model_version"], answer["digest"]) == (
            "Digits",
            bundle.digest[:12],
            bundle.digest,
        )
        found = [list(item["probabilities"].values()) for item in answer["predictions"]]
        np.testing.assert_allclose(found, softmax(expected_logits(images)), rtol=1e-4)
        assert "<title>Try the model</title>" in httpx.get(url, timeout=60).text
        (known,) = httpx.get(f"{url}/page/models.json", timeout=60).json()["models"]
        assert known["measured"]["headline"] == {"test_acc": 0.5}
        maps = "".join(Path(f"/proc/{each}/maps").read_text() for each in children(process.pid))
        assert "onnxruntime" in maps
        assert str(HOUSE / "lifecycle") not in maps


def test_bentoml_serves_the_bento(packed: Path, python: Path, bundle: Artifact, tmp_path: Path) -> None:
    port = free_port("127.0.0.1", 0)
    command = [
        python,
        "-m",
        "bentoml",
        "serve",
        str(packed / "bento"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with running(command, tmp_path, tmp_path / "run") as process:
        wait_until_ready(f"http://127.0.0.1:{port}", process, tmp_path / "run" / "log")
        answer = httpx.post(f"http://127.0.0.1:{port}/predict", json=[[0] * 64], timeout=60)
        assert answer.json()["digest"] == bundle.digest


def test_the_same_models_give_the_same_bytes(packed: Path, bundle: Artifact, tmp_path: Path) -> None:
    model = ServedModel(name="Digits", version=bundle.digest[:12], bundle=bundle.path)
    again = pack([model], tmp_path / "again")
    assert contents(again) == contents(packed)


def test_the_container_is_not_root_and_runs_what_stands_there(packed: Path, bundle: Artifact) -> None:
    text = (packed / "Containerfile").read_text()
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert text.startswith(f"# Digits version {bundle.digest[:12]} (digest ")
    assert f"docker build -t digits:{bundle.digest[:12]} -f Containerfile ." in text
    assert "${" not in text.replace("$PATH", "")
    for source in re.findall(r"^COPY (?!--)(\S+)", text, re.MULTILINE):
        assert (packed / source).exists()
    assert not (packed / "bento" / "src" / "lifecycle" / "train").exists()
    assert not list(packed.rglob("__pycache__"))


def test_only_what_serves_is_required() -> None:
    group = tomllib.loads((HOUSE / "pyproject.toml").read_text())["dependency-groups"]["serve"]
    named = {Requirement(line).name for line in group}
    assert named - set(DIRECT) == {"click", "filelock", "mlflow-skinny", "PyYAML", "rich"}
    pins = {line.partition("==")[0] for line in pinned()}
    assert pins >= set(DIRECT)
    assert not pins & {"torch", "mlflow", "mlflow-skinny", "onnxscript", "scikit-learn"}


def test_what_is_there_is_not_overwritten(tmp_path: Path, bundle: Artifact) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"is there already\nRemove it, or name another folder with --into"):
        pack([ServedModel(name="m", version="1", bundle=bundle.path)], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--thread", "2"], "unknown option '--thread'; did you mean '--threads'? Allowed: --"),
        (["--threads"], "option '--threads' has no value"),
        (["--threads", "0"], "threads: expected a number of 1 or more, got 0"),
        (["--port", "x"], "an option has a value of another type: "),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, options: list[str], text: str) -> None:
    (tmp_path / "models.json").write_text('[{"name": "m", "version": "1", "bundle": "b"}]')
    with pytest.raises(UsageError) as caught:
        packed_settings(tmp_path, options)
    assert caught.value.message.startswith(text)


def test_an_image_is_called_after_its_models() -> None:
    one, two = (ServedModel(name=name, version="1", bundle=Path("b")) for name in ("My Model", "ü"))
    assert image_tag([one]) == "my-model:1"
    assert image_tag([one, two]) == "my-model-model:latest"


def children(pid: int) -> list[int]:
    import psutil

    return [pid, *(each.pid for each in psutil.Process(pid).children(recursive=True))]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
