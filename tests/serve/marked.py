"""Versions of a model that can be told apart by their answers, in a real registry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from onnx import helper

from lifecycle.core.artifact import Artifact
from lifecycle.core.canonical import readable_json
from lifecycle.core.signature import Signature, TensorSpec
from lifecycle.registration import register
from lifecycle.registry import CHAMPION, Version
from tests.serve.bundles import bundle
from tests.versions import PROVEN, checkpoint_of, evaluation_of, stored_file


def marked_bundle(into: Path, mark: float, *, width: int = 2, parent: Artifact | None = None) -> Artifact:
    """Adds a number to float32 rows (batch, 2): the difference says which version answered."""
    rows = ("batch", width)
    signature = Signature(
        inputs=(TensorSpec(name="x", dtype="float32", shape=rows, range=(0.0, 100.0)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=rows),),
    )
    constant = np.full((1,), mark, np.float32)
    return bundle(
        into,
        [helper.make_node("Add", ["x", "mark"], ["y"])],
        signature,
        {"mark": constant},
        files={"parity.json": readable_json(PROVEN)},
        parent=parent,
    )


@dataclass(frozen=True)
class Marked:
    """A registry with versions of one model.

    Attributes:
        client: Connected to it.
        folder: Where bundles are made.
        name: The model.
        marks: What each version adds, by its number.
    """

    client: MlflowClient
    folder: Path
    name: str
    marks: dict[str, float]

    def add(self, mark: float, *, width: int = 2) -> Version:
        """Register a version that adds `mark` to rows of that width."""
        folder = self.folder / f"{self.name}-{len(self.marks)}"
        checkpoint = checkpoint_of(folder)
        made = marked_bundle(folder / "bundle", mark, width=width, parent=checkpoint)
        evaluation = evaluation_of(folder, made.digest)
        experiment = self.client.get_experiment_by_name(self.name)
        id = experiment.experiment_id if experiment else self.client.create_experiment(self.name)
        run = self.client.create_run(id)
        version = register(
            self.client,
            self.name,
            bundle=made,
            evaluation=evaluation,
            checkpoint=checkpoint,
            gates={},
            run_id=run.info.run_id,
        )
        self.marks[str(version.number)] = mark
        return version

    def add_poisoned(self) -> Version:
        """Answers with NaN."""
        return self.add(math.nan)

    def add_damaged(self) -> Version:
        """A byte of its file was changed after it was registered."""
        version = self.add(55.0)
        file = stored_file(version, self.client, "bundle/model.onnx")
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
        return version

    def move(self, version: Version | str) -> None:
        """Point ``@champion`` at a version."""
        number = version if isinstance(version, str) else str(version.number)
        self.client.set_registered_model_alias(self.name, CHAMPION, number)

    @property
    def uri(self) -> str:
        """What is followed."""
        return f"models:/{self.name}@{CHAMPION}"
