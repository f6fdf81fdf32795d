"""Real projects to run the command line on: copies of the digits example, in folders of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lifecycle.core.artifact import Artifact, open_artifact

DIGITS = Path(__file__).parent.parent / "examples" / "digits"
STAGES = ("train", "prune", "quantize", "export", "evaluate", "register")


@dataclass(frozen=True)
class Project:
    """A folder with a pipeline file, and the command line in it."""

    folder: Path

    @property
    def workspace(self) -> Path:
        return self.folder / ".lifecycle"

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.workspace / 'mlflow.db'}"

    def lifecycle(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command line in the folder."""
        return subprocess.run(
            self.command(*words), cwd=self.folder, capture_output=True, text=True, timeout=280
        )

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-c", "from lifecycle.cli.main import main; main()", *words]

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start the command line in the folder, in a process group of its own."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ,
        )

    def run(self, *overrides: str) -> dict[str, Outcome]:
        """Run the pipeline to its end; what became of each stage."""
        done = self.lifecycle("run", "pipeline.yaml", *overrides, "--json")
        assert done.returncode == 0, done.stderr
        return {item["stage"]: Outcome(**item) for item in json.loads(done.stdout)}

    def edit(self, name: str, old: str, new: str) -> None:
        """Change a file of the project."""
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One stage as ``--json`` tells it."""

    stage: str
    cached: bool
    seconds: float
    kind: str
    digest: str
    path: str
    metrics: dict[str, float]

    @property
    def artifact(self) -> Artifact:
        return open_artifact(Path(self.path))


def copy_digits(folder: Path) -> Project:
    """The example, without what was made in it."""
    folder.mkdir(parents=True)
    for name in ("pipeline.yaml", "model.py", "data.py"):
        shutil.copy(DIGITS / name, folder / name)
    return Project(folder)


def quick(project: Project) -> Project:
    """Train for as short as still gives a model worth registering; the same stages otherwise."""
    project.edit("pipeline.yaml", "max_epochs: 15", "max_epochs: 3")
    project.edit("pipeline.yaml", "epochs: 8", "epochs: 2")
    project.edit("pipeline.yaml", "epochs: 2, lr", "epochs: 1, lr")
    project.edit("pipeline.yaml", "max_drop: 0.02", "max_drop: 0.2")
    project.edit("pipeline.yaml", "min: 0.97", "min: 0.8")
    project.edit("pipeline.yaml", "\nbudget:", "\nevaluate: {timed_calls: 50, steps: false}\nbudget:")
    return project
