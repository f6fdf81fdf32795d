"""A run that never was, told by artifacts of the kinds that stages leave: fast to make, and full of numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lifecycle.core.artifact import Artifact, Draft
from lifecycle.core.budget import Budget
from lifecycle.core.canonical import JSON
from lifecycle.core.reference import Reference
from lifecycle.core.signature import Signature, TensorSpec
from lifecycle.core.stage import Project
from lifecycle.pipeline.runner import Outcome
from lifecycle.pipeline.spec import Pipeline
from lifecycle.report.page.known import RunFacts
from lifecycle.stages.register import Register

SOURCES = {
    "model.py": 'class Net:\n    """Tells pets apart."""\n',
    "data.py": 'class Pets:\n    """Photographs of pets."""\n',
}
TIMINGS: list[JSON] = [
    {"form": form, "batch": batch, "threads": 1, "median_ms": median * batch, "p95_ms": 1.3 * median * batch}
    for batch in (1, 16)
    for form, median in (
        ("dense, PyTorch", 0.87),
        ("dense, ONNX Runtime", 0.175),
        ("compressed, ONNX Runtime", 0.099),
    )
]
DENSE = {"test_acc": 0.9166666, "macs": 2116224, "params": 77290, "size_bytes": 310303, "latency_ms": 0.0463}
SERVED = {"test_acc": 0.75, "macs": 478528, "params": 16234, "size_bytes": 21046, "latency_ms": 0.0334}


def made(
    folder: Path, kind: str, parent: Artifact | None, files: Mapping[str, JSON], **facts: JSON
) -> Artifact:
    common: dict[str, JSON] = {
        "model": {"reference": "model.py:Net", "args": {"width": 4}},
        "data": {"reference": "data.py:Pets", "args": {}},
        "seed": 7,
        "sources": "5" * 64,
        "versions": {"torch": "2.13.0"},
        "git": {"commit": None, "dirty": None},
        "made": "2026-11-26T14:00:00+00:00",
    }
    with Draft(folder) as draft:
        (draft.path / "name").write_text(folder.name)
        for name, content in files.items():
            (draft.path / name).write_text(json.dumps(content))
        return draft.seal(kind, parent=parent, facts=common | facts)


def pets(root: Path, labels: tuple[str, ...] = ("cat", "dog", "hamster"), **changes: Any) -> RunFacts:
    """Facts of a run of six stages."""
    root.mkdir(parents=True, exist_ok=True)
    for name, text in SOURCES.items():
        (root / name).write_text(text)
    classes = len(labels)
    signature = Signature(
        inputs=(TensorSpec(name="image", dtype="uint8", shape=("batch", 8, 8), range=(0, 255)),),
        outputs=(TensorSpec(name="logits", dtype="float32", shape=("batch", classes)),),
        labels=labels,
        task="classification",
    ).to_json()
    targets = [number % classes for number in range(4 * classes)]
    served = [target if number % 4 else (target + 1) % classes for number, target in enumerate(targets)]
    row: dict[str, JSON] = {"data": "samples", "batch": 4, "axes": {}, "output": "logits", "holds": True}
    row |= {"max_error": 0.003, "mean_error": 0.0002, "top1": 1.0, "discrete": False}
    compared: dict[str, JSON] = {"format": "onnx", "run": "as run", "holds": True, "rows": [row]}
    compared |= {"mean_errors": {"logits": 0.0002}}
    compared |= {"tolerance": {"max_error": 0.1, "mean_error": 0.005, "flips": 0.03, "tie": 0.05}}

    trained = made(
        root / "trained",
        "checkpoint",
        None,
        {"signature.json": signature},
        metrics={"val_acc": 0.93, "macs": 2116224, "params": 77290},
        headline=["val_acc"],
        config={"trainer": {"max_epochs": 3}},
    )
    pruned = made(
        root / "pruned",
        "checkpoint",
        trained,
        {"signature.json": signature},
        metrics={"val_acc": 0.92, "macs": 478528, "params": 16234},
        headline=["val_acc"],
        config={"macs": 0.25},
    )
    parity: JSON = {"precision": "int8", "comparisons": [compared]}
    bundle = made(root / "bundle", "bundle", pruned, {"signature.json": signature, "parity.json": parity})
    evaluation = made(
        root / "evaluation",
        "evaluation",
        bundle,
        {
            "metrics.json": {"data": "d" * 64},
            "predictions.json": {"compressed": served, "dense": targets, "targets": targets},
        },
        metrics=SERVED,
        dense=DENSE,
        headline=["test_acc"],
        steps=[{"step": "dense", **DENSE}, {"step": "compressed", **SERVED}],
        timings=TIMINGS,
    )
    version = made(root / "version", "version", bundle, {"version.json": {"name": "pets", "number": 3}})
    names = ("train", "prune", "export", "evaluate", "register")
    artifacts = (trained, pruned, bundle, evaluation, version)
    gates = {"test_acc": {"min": 0.7}}
    pipeline = Pipeline(
        project=Project(
            name="pets", root=root, model=Reference("model.py:Net"), data=Reference("data.py:Pets")
        ),
        stages={"register": Register(gates=gates)},
        seed=7,
        budget=Budget(metric="val_acc", max_drop=0.05, max_macs=0.25),
    )
    known: dict[str, Any] = {
        "pipeline": pipeline,
        "outcomes": [
            Outcome(name=name, cached=name == "train", seconds=12.34, artifact=artifact)
            for name, artifact in zip(names, artifacts, strict=True)
        ],
        "run_id": "r" * 32,
        "curves": {
            "train": {
                "train_loss": tuple((float(step), 2 / (1 + step)) for step in range(0, 200, 10)),
                "val_loss": ((99.0, 0.31), (199.0, 0.21)),
                "val_acc": ((99.0, 0.8), (199.0, 0.93)),
            },
            "prune": {"val_acc": ((99.0, 0.92),)},
        },
        "effects": {"val_acc lost when one layer is pruned to 0.5": [("stem.0", 0.88), ("head", -0.01)]},
        "machine": {"system": "Linux x86_64"},
    }
    return RunFacts(**known | changes)
