"""Registered versions made of small real bundles, in a real MLflow store.

Each has the code and the data that score it: of `COUNT` test images, the file gets as many right as it is
told to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from mlflow import MlflowClient

from lifecycle.core.artifact import Artifact, Draft
from lifecycle.core.canonical import JSON, readable_json
from lifecycle.core.reference import Reference
from lifecycle.history import Change
from lifecycle.ledger import Ledger
from lifecycle.registration import register
from lifecycle.registry import Version, set_alias
from tests.serve.bundles import Floats, digits_bundle

PROVEN: dict[str, JSON] = {"precision": "float32", "comparisons": [{"format": "onnx", "holds": True}]}
GATES: dict[str, JSON] = {"test_acc": {"min": 0.95, "max_drop": 0.01}}
# Decided without anything being scored, for tests that are about something else.
QUICK: dict[str, JSON] = {"size_bytes": {"max": 1e9}}
COUNT = 200
MODEL = """
import torch
import lifecycle as pl


class Net(pl.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(64, 10)

    def forward(self, image):
        return self.linear(image.flatten(1).float())

    def postprocess(self, outputs):
        return {"probabilities": outputs.softmax(dim=1)}

    def signature(self):
        return pl.Signature(
            inputs=(pl.TensorSpec(name="image", dtype="uint8", shape=("batch", 1, 8, 8), range=(0, 16)),),
            outputs=(
                pl.TensorSpec(name="logits", dtype="float32", shape=("batch", 10)),
                pl.TensorSpec(name="probabilities", dtype="float32", shape=("batch", 10)),
            ),
            labels=tuple("0123456789"),
            task="classification",
        )

    def test_step(self, batch, batch_idx):
        images, labels = batch
        right = (self(images).argmax(dim=1) == labels).float()
        self.log("test_acc", right.mean())
"""
DATA = '''
import torch
from pathlib import Path
from torch.utils.data import DataLoader, TensorDataset
import lifecycle as pl


class Images(pl.DataModule):
    """Image i shows its class in one pixel, and in the last two how hard it is: i."""

    def __init__(self, count, name):
        self.count, self.name = count, name

    def fingerprint(self):
        if self.name.endswith(".csv"):
            return Path(__file__).with_name(self.name).read_text()
        return self.name

    def test_dataloader(self):
        index = torch.arange(self.count)
        labels = 1 + index % 9
        images = torch.zeros(self.count, 64, dtype=torch.uint8)
        images[index, labels] = 16
        images[:, 62], images[:, 63] = index // 16, index % 16
        return DataLoader(TensorDataset(images.reshape(-1, 1, 8, 8), labels), batch_size=64)
'''


def weights_for(right: int) -> tuple[Floats, Floats]:
    """Matrix and bias of a file that gets the first so many of the images right, and calls the others 0."""
    matrix, bias = np.zeros((64, 10), np.float32), np.zeros(10, np.float32)
    matrix[np.arange(1, 10), np.arange(1, 10)] = 1
    matrix[62, 0], matrix[63, 0] = 16, 1  # how hard an image is speaks for class 0, against the 16 of its own
    bias[0] = 16 - right + 0.5
    return matrix, bias


def checkpoint_of(folder: Path, *, data: str = "digits-1") -> Artifact:
    """The code and the data that score a version, and weights that its file does not have."""
    from lifecycle.core.stage import Project
    from lifecycle.train.artifact import make_module, write_checkpoint
    from lifecycle.train.seeding import seed_everything

    source = folder / "source"
    source.mkdir(parents=True, exist_ok=True)
    (source / "model.py").write_text(MODEL)
    (source / "data.py").write_text(DATA)
    model, args = Reference("model.py:Net"), {"count": COUNT, "name": data}
    project = Project(
        name="digits", root=source, model=model, data=Reference("data.py:Images"), data_args=args
    )
    seed_everything(0)
    return write_checkpoint(make_module(model, {}, source), folder / "checkpoint", project=project)


def proven_bundle(
    folder: Path,
    *,
    parity: Mapping[str, JSON] = PROVEN,
    label: str = "0",
    right: int = COUNT,
    parent: Artifact | None = None,
    padding: int = 0,
) -> Artifact:
    """A digits bundle with a proof in it; `label` renames the first class, which changes the digest.

    With `padding` the file is larger by so many bytes that nothing reads.
    """
    matrix, bias = weights_for(right)
    files = {"parity.json": readable_json(parity)}
    if padding:
        files["model.onnx.data"] = b"\0" * padding
    return digits_bundle(
        folder / "bundle",
        labels=(label, *"123456789"),
        matrix=matrix,
        bias=bias,
        files=files,
        parent=parent,
    )


def evaluation_of(
    folder: Path,
    bundle: str,
    *,
    test_acc: float = 0.98,
    data: str = "digits-1",
    parent: Artifact | None = None,
) -> Artifact:
    """An evaluation that scored the bundle of that digest."""
    metrics: JSON = {"metrics": {"test_acc": test_acc}, "dense": {}, "bundle": bundle, "data": data}
    with Draft(folder / "evaluation") as draft:
        (draft.path / "metrics.json").write_bytes(readable_json(metrics))
        facts: dict[str, JSON] = {"metrics": {"test_acc": test_acc, "latency_ms": 0.5}}
        return draft.seal("evaluation", parent=parent, facts=facts)


def registered(
    client: MlflowClient,
    folder: Path,
    *,
    test_acc: float = 0.98,
    data: str = "digits-1",
    gates: Mapping[str, JSON] = GATES,
    parity: Mapping[str, JSON] = PROVEN,
    scored: str = "",
    label: str = "0",
    name: str = "digits",
    evaluated_on: str = "",
    padding: int = 0,
    made: Callable[[Path, Artifact], Artifact] | None = None,
) -> Version:
    """Register a new version as challenger, whose file has that accuracy.

    `made` makes another bundle in its place, given a folder and the checkpoint.
    """
    checkpoint = checkpoint_of(folder, data=data)
    right = round(test_acc * COUNT) if np.isfinite(test_acc) else COUNT
    bundle = (
        made(folder, checkpoint)
        if made
        else proven_bundle(
            folder, parity=parity, label=label, right=right, parent=checkpoint, padding=padding
        )
    )
    evaluation = evaluation_of(
        folder, scored or bundle.digest, test_acc=test_acc, data=evaluated_on or data, parent=bundle
    )
    experiment = client.get_experiment_by_name(name)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(name)
    run = client.create_run(experiment_id)
    version = register(
        client,
        name,
        bundle=bundle,
        evaluation=evaluation,
        checkpoint=checkpoint,
        gates=gates,
        run_id=run.info.run_id,
    )
    set_alias(client, version, "challenger")
    return version


def stored_file(version: Version, client: MlflowClient, name: str) -> Path:
    """Where MLflow keeps a file of a version, to damage it."""
    location = client.get_model_version_download_uri(version.name, str(version.number))
    return Path(location.removeprefix("file://")) / name


def image() -> np.ndarray:
    """One white image."""
    return np.full((1, 1, 8, 8), 16, np.uint8)


def promoted(client: MlflowClient, version: Version) -> None:
    """Make a version champion, with an entry in the ledger, and ask no gate."""
    ledger = Ledger(client, version.name)
    seen = ledger.read()
    latest = seen.latest()
    before = latest.version if latest else None
    ledger.append(seen, Change(alias="champion", version=version.number, before=before, kind="promotion"))
    ledger.settle()
