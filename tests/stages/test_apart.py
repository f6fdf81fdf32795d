"""Stages that train in several processes: what else they do leaves the process of the pipeline able to fork."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle.core.errors import LifecycleError, RefusedError
from lifecycle.core.reference import Reference
from lifecycle.pipeline.spec import read_pipeline
from lifecycle.stages.apart import apart, fits_in_several
from tests.pipeline.tiny import tiny_project

ROOT = Path(__file__).parents[2]


def refuse() -> None:
    raise RefusedError("too slow", hint="Take a smaller one.")


def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_it_gives_what_the_work_gives_and_keeps_nothing_else() -> None:
    done: list[int] = []

    def work() -> dict[str, float]:
        done.append(1)
        return {"pid": os.getpid(), "val_acc": 0.5}

    found = apart(work)
    assert found["val_acc"] == 0.5
    assert found["pid"] != os.getpid()
    assert not done


def test_our_errors_come_back_as_they_are() -> None:
    with pytest.raises(RefusedError, match=r"^too slow\n") as told:
        apart(refuse)
    assert told.value.hint == "Take a smaller one."


def test_errors_of_the_projects_code_come_back_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "slip.py").write_text("class Slip:\n    def step(self):\n        return self.nothing\n")
    slip = Reference("slip.py:Slip").load(tmp_path)()
    message = r"^AttributeError: 'Slip' object has no attribute 'nothing', raised at slip\.py:3, in step$"
    with pytest.raises(LifecycleError, match=message):
        apart(slip.step)


def test_a_killed_process_is_told() -> None:
    with pytest.raises(LifecycleError, match="ended with status -9"):
        apart(be_killed)


@pytest.mark.parametrize(
    ("devices", "several"),
    [("2", True), ("-1", True), ("[0, 1]", True), ("1", False), ("auto", False), ("[1]", False)],
)
def test_several_devices_are_seen_in_the_file(tmp_path: Path, devices: str, several: bool) -> None:
    folder = tiny_project(tmp_path / "tiny")
    pipeline = read_pipeline(folder / "pipeline.yaml", {}, [f"prune.trainer.devices={devices}"])
    assert fits_in_several(pipeline.stages) == several


def test_stages_one_after_another_train_in_two_processes_each(tmp_path: Path) -> None:
    """What validates between two fits would use a GPU, had the machine some, and none could be forked then."""
    folder = tiny_project(tmp_path / "tiny")
    model = folder / "model.py"
    noted = 'open("pids", "a").write(f"{os.getpid()}\\n")'
    text = model.read_text().replace("import torch\n", "import os\n\nimport torch\n", 1)
    for step in ("training_step", "validation_step"):
        begin = f"def {step}(self, batch, batch_idx):\n"
        text = text.replace(begin, f"{begin}        {noted}\n")
    model.write_text(text)
    lines = (folder / "pipeline.yaml").read_text().splitlines()
    kept = [
        line for line in lines if not line.startswith(("quantize", "export", "evaluate", "register", "gates"))
    ]
    (folder / "pipeline.yaml").write_text("\n".join(kept))
    program = "from lifecycle.cli.main import main; main()"
    words = ["train.trainer.devices=2", "train.trainer.accelerator=cpu", "prune.tries=1"]
    command = [sys.executable, "-c", program, "run", "pipeline.yaml", *words]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    pids = dict.fromkeys((folder / "pids").read_text().split())
    assert len(pids) >= 6  # two fits of two processes, and what measures after each
    assert str(process.pid) not in pids
