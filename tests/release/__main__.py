"""``python -m tests.release {empty,lowest,sdist}``: installs what is built, with what it needs, and uses it.

- ``empty``: the wheel with its pinned dependencies in an empty environment; `pip check`, then a project from `init`
  to a promoted version.
- ``lowest``: the lowest versions that pyproject.toml allows, and the tests that touch most of them.
- ``sdist``: a wheel made from the sdist holds the same files as the one made from the tree.

`make release-check` runs them all, in minutes; pip is used as it is set up here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tests.release.distributions import build, wheel_of
from tests.release.floors import floors

ROOT = Path(__file__).parents[2]
NAME = "tumours"
QUICK = ("train.trainer.max_epochs=15", "prune.epochs=2", "evaluate.steps=false", "evaluate.timed_calls=2")
# One file or more for each dependency with a floor; from the module to the answer of a served version.
TESTS = (
    "tests/cli/test_init.py",
    "tests/compress/test_chain.py",
    "tests/contracts/test_formats.py",
    "tests/core",
    "tests/export/test_to_onnx.py",
    "tests/serve/test_endpoint.py",
    "tests/serve/predict/test_images.py",
    "tests/test_registry.py",
    "tests/tracking/test_recorder.py",
    "tests/train/test_checkpoint.py",
    "tests/train/test_torchmetric.py",
)
TOOLS = ("pytest", "pytest-timeout", "hypothesis", "httpx", "jsonschema", "setuptools")


def run(words: Sequence[str | Path], *, cwd: Path = ROOT) -> None:
    """Run a command, and end with what it printed if it fails."""
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False, env=environment())
    if done.returncode:
        shown = " ".join(map(str, words))
        raise SystemExit(f"{shown} ended with {done.returncode}:\n{done.stdout[-6000:]}{done.stderr[-6000:]}")


def environment() -> dict[str, str]:
    """Without the tracking server and the options of whoever runs this."""
    foreign = ("LIFECYCLE_", "MLFLOW_", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {
        **kept,
        "OMP_NUM_THREADS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "BENTOML_DO_NOT_TRACK": "True",
    }


def environment_with(folder: Path, *requirements: str) -> Path:
    """A new environment with these; its folder of commands. Nothing in it may contradict anything else."""
    began = time.monotonic()
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip = (python, "-m", "pip", "--disable-pip-version-check", "--no-input")
    run([*pip, "install", "-q", *requirements])
    run([*pip, "check"])
    print(f"  installed in {time.monotonic() - began:.0f} s; pip check finds no contradiction", flush=True)
    return folder / "bin"


def empty(work: Path) -> None:
    """The wheel where nothing was before."""
    wheel = wheel_of(build(work / "built"))
    pins = ("-c", str(ROOT / "constraints.txt"))
    torch = next(
        line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch==")
    )
    commands = environment_with(work / "empty", *pins, torch, f"{wheel}[examples]")
    lifecycle = commands / "lifecycle"
    run([lifecycle, "doctor"], cwd=work)
    run([lifecycle, "init", NAME, "--template", "tabular"], cwd=work)
    project = work / NAME
    run([lifecycle, "run", "pipeline.yaml", *QUICK], cwd=project)
    run([lifecycle, "promote", NAME], cwd=project)
    run([lifecycle, "package", f"models:/{NAME}@champion", "--into", "image"], cwd=project)
    print("  doctor, init, run, promote and package work from the wheel")


def lowest(work: Path) -> None:
    """Every dependency at its floor, with what they need as it was when this was written down."""
    exact = [f"{name}=={bound}" for name, bound in floors("examples").items()]
    tools = [f"{name}=={bound}" for name, bound in floors("dev").items() if name in TOOLS]
    pins = ("-c", str(ROOT / "tests/release/lowest.txt"))
    commands = environment_with(work / "lowest", *pins, *exact, *tools, "-e", str(ROOT))
    words = [
        commands / "python",
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-W",
        "default",
        *TESTS,
    ]
    began = time.monotonic()
    run(words)
    print(
        f"  {len(exact)} floors; the tests of {len(TESTS)} files and folders pass in {time.monotonic() - began:.0f} s"
    )


def sdist(work: Path) -> None:
    """What distributors build from is whole."""
    folder = build(work / "sdist")
    again = work / "again"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-q", "--no-deps"]
    run([*pip, "--no-build-isolation", "-w", again, next(folder.glob("*.tar.gz"))])
    one, other = (set(zipfile.ZipFile(wheel_of(each)).namelist()) for each in (folder, again))
    if one != other:
        raise SystemExit(f"wheels from the tree and from the sdist differ in {sorted(one ^ other)}")
    print(f"  the wheel from the sdist holds the same {len(one)} files")


CHECKS = {"sdist": sdist, "empty": empty, "lowest": lowest}


def main() -> None:
    """Run the checks that are named, or all."""
    for name in sys.argv[1:] or CHECKS:
        print(f"==> {name}", flush=True)
        with tempfile.TemporaryDirectory(prefix="lifecycle-release-") as work:
            CHECKS[name](Path(work))


if __name__ == "__main__":
    main()
