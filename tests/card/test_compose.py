from __future__ import annotations

import json
from pathlib import Path

from lifecycle.card.compose import Known, compose
from lifecycle.core.artifact import Artifact, Draft
from lifecycle.core.budget import Budget
from lifecycle.core.canonical import JSON
from lifecycle.core.signature import Signature, TensorSpec
from lifecycle.core.statistics import Statistics

SIGNATURE = Signature(
    inputs=(TensorSpec(name="image", dtype="uint8", shape=("batch", 8), range=(0, 16)),),
    outputs=(TensorSpec(name="logits", dtype="float32", shape=("batch", 2)),),
    labels=("cat", "dog"),
    task="classification",
    statistics={
        "image": Statistics(samples=64, mean=4.9, std=6.0, min=0.0, max=16.0, quantiles=(0, 0, 1, 11, 16))
    },
)
FACTS: dict[str, JSON] = {
    "model": {"reference": "model.py:Net", "args": {"width": 4}},
    "data": {"reference": "data.py:Pets", "args": {}},
    "seed": 7,
    "git": {"commit": "abcdef0123456789", "dirty": True},
    "versions": {"torch": "2.13.0", "absent": None},
    "made": "2026-11-26T14:00:00+00:00",
}


def artifact(folder: Path, kind: str, files: dict[str, JSON], **facts: JSON) -> Artifact:
    with Draft(folder / kind) as draft:
        for name, content in files.items():
            (draft.path / name).write_text(json.dumps(content))
        return draft.seal(kind, facts=FACTS | facts)


def trained(folder: Path, **facts: JSON) -> Artifact:
    return artifact(folder, "checkpoint", {"signature.json": SIGNATURE.to_json()}, **facts)


def known(folder: Path) -> Known:
    first = trained(
        folder / "train",
        metrics={"val_acc": 0.9, "macs": 100, "params": 50},
        config={"trainer": {"max_epochs": 3}},
    )
    pruned = trained(
        folder / "prune",
        metrics={"val_acc": 0.88, "macs": 25, "params": 10},
        config={"macs": 0.25, "distill": False, "params": None},
    )
    parity: JSON = {"precision": "int8", "comparisons": [{"format": "onnx", "holds": True}]}
    files: dict[str, JSON] = {"parity.json": parity, "signature.json": SIGNATURE.to_json()}
    predictions: JSON = {"compressed": [0, 1, 1, 1], "dense": [0, 0, 1, 1], "targets": [0, 0, 1, 1]}
    return Known(
        name="pets",
        steps={"train": first, "prune": pruned},
        bundle=artifact(folder, "bundle", files),
        evaluation=artifact(
            folder,
            "evaluation",
            {"metrics.json": {"data": "f" * 64}, "predictions.json": predictions},
            metrics={"test_acc": 0.75, "test_loss": 0.3, "size_bytes": 21046, "latency_ms": 0.03},
            dense={"test_acc": 1.0},
        ),
        budget=Budget(metric="val_acc", max_drop=0.05),
        gates={"test_acc": {"min": 0.7}},
        about={"model": "Tells cats from dogs."},
    )


def test_everything_that_is_known_is_said(tmp_path: Path) -> None:
    text = compose(known(tmp_path)).to_markdown()
    for said in (
        "pets is a model for classification.",
        "Made of model.py:Net with width=4.",
        "It says of itself: Tells cats from dogs.",
        "Classes: cat, dog.",
        "| input | image | uint8 | [batch, 8] | 0 to 16 |",
        "Fingerprint: ffffffffffff.",
        "| image | 64 | 4.9 | 6 | 0 to 16 |",
        "Trained with max_epochs 3; seed 7.",
        "from git commit abcdef012345 with changes that were not committed",
        "Libraries: torch 2.13.0.",
        "| test_acc | 0.7500 | 0.3006 to 0.9544 | 1.0000 |",
        "| test_loss | 0.3000 | not known |  |",
        "3 of 4 samples were answered as they should be.",
        "Recognised least often: cat (0.500 of 2).",
        "prune: macs 0.25.",
        "| prune | 0.250 | 0.200 | 0.8800 |",
        "Compared with the module, 1 of 1 comparisons hold.",
        "The ONNX file has 21.0 kB.",
        "Inputs outside these ranges were not tried: image 0 to 16.",
        "Compression had to keep to: metric val_acc, mode max, max_drop 0.05.",
        "| test_acc | min 0.7 |",
    ):
        assert said in text, said


def test_what_is_not_known_is_said_to_be_so_or_left_out(tmp_path: Path) -> None:
    text = compose(Known(name="pets", steps={"train": trained(tmp_path)})).to_markdown()
    for said in (
        "Licence: not stated.",
        "Intended use: not stated.",
        "Fingerprint: not known.",
        "Not evaluated on held-out data: how good it is is not known.",
        "Not compressed.",
        "No gates are set: `lifecycle promote` will refuse it.".replace("`", "\\`"),
        "for groups of people or conditions in it, is not known.",
    ):
        assert said in text, said
    assert "Bundle" not in text and "nan" not in text and "None" not in text


def test_the_same_facts_give_the_same_card(tmp_path: Path) -> None:
    assert compose(known(tmp_path)) == compose(known(tmp_path))
