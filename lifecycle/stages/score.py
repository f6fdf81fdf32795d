"""Scoring and timing the ONNX file of a bundle."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import UsageError
from lifecycle.core.progress import Progress, timed
from lifecycle.core.signature import Array
from lifecycle.core.stage import Context
from lifecycle.export.batches import batch_axis, pick, random_inputs
from lifecycle.export.benchmark import measure_latency
from lifecycle.export.network import named_outputs
from lifecycle.export.runtime import Model, open_model
from lifecycle.export.structure import named_arrays, rebuild
from lifecycle.stages.fitting import data_of
from lifecycle.stages.passing import in_order
from lifecycle.train.artifact import open_checkpoint
from lifecycle.train.callbacks import Callback
from lifecycle.train.data import Loaders
from lifecycle.train.describe import example_inputs
from lifecycle.train.forward import with_forward
from lifecycle.train.trainer import Trainer

if TYPE_CHECKING:
    from lifecycle.export.operators import QuantizedWeights
    from lifecycle.train.module import Module


@dataclass(frozen=True, kw_only=True)
class Score:
    """What was found on the test split.

    Attributes:
        metrics: What ``test_step`` logs, then ``macs``, ``params`` and ``size_bytes``.
        predictions: The greatest output of each sample, for classifiers.
        targets: The class that each sample is said to be, where the batches tell; else empty.
        weights: How many layers the file has, and how many of them hold INT8 weights.
    """

    metrics: dict[str, float]
    weights: QuantizedWeights
    predictions: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()


class FileForward:
    """The file in forward's place: tensors in, tensors out, as forward gives them.

    Args:
        module: Whose forward shows how outputs are structured.
        model: The opened file.
    """

    def __init__(self, module: Module, model: Model) -> None:
        self.model = model
        self.calls = 0
        self.predictions: list[int] = []
        self.targets: list[int] = []
        with torch.inference_mode():
            example = module(*example_inputs(module))
        self.module = module
        self.example = example
        # The file's names of forward's own outputs: they come before those that `postprocess` adds.
        names = [spec.name for spec in model.signature.outputs]
        self.names = list(named_outputs(example, names))

    def __call__(self, *inputs: Tensor, **named: Tensor) -> object:
        """Run the file."""
        self.calls += 1
        given = in_order(self.module, inputs, named)
        outputs = in_limits(self.model, named_arrays(self.model.signature, given))
        found = [torch.from_numpy(np.array(outputs[name])) for name in self.names]
        if self.model.signature.labels and found[0].ndim == 2:
            self.predictions += found[0].argmax(dim=1).tolist()
        return rebuild(self.example, iter(found))


def in_limits(model: Model, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Run a file on a batch that may be larger than it takes, in as many parts as that needs."""
    signature = model.signature
    axis = batch_axis(signature)
    count = arrays[signature.inputs[0].name].shape[0] if axis else 0
    _, high = signature.axes.get(axis or "", (count, count))
    if axis is None or count <= high:
        return model.run(arrays)
    shares = np.array_split(np.arange(count), math.ceil(count / high))
    parts = [model.run(pick(signature, arrays, share.tolist())) for share in shares]
    return {
        spec.name: np.concatenate([part[spec.name] for part in parts], axis=spec.shape.index(axis))
        if axis in spec.shape
        else parts[0][spec.name]
        for spec in signature.outputs
    }


class _Watch(Callback):
    """Fails when a batch was scored without forward: it would be the score of other weights."""

    def __init__(self, forward: FileForward) -> None:
        self.forward = forward
        self.before = 0

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: Module,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self.forward.calls == self.before:
            raise UsageError(
                f"{type(pl_module).__name__}.test_step never called forward for batch {batch_idx}: "
                "it would score the module's own weights, not the exported file; call self(inputs) in it"
            )
        self.before = self.forward.calls
        scored = len(self.forward.predictions) - len(self.forward.targets)
        self.forward.targets += targets_of(batch, scored, len(self.forward.model.signature.labels))


def targets_of(batch: object, samples: int, classes: int) -> list[int]:
    """The classes in a batch: its one vector of a class number for each sample; empty where none is, or two.

    >>> targets_of((torch.zeros(2, 3), torch.tensor([1, 0])), samples=2, classes=2)
    [1, 0]
    >>> targets_of((torch.zeros(2, 3), torch.tensor([1, 7])), samples=2, classes=2)
    []
    """
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else ()
    found = [
        part.tolist()
        for part in parts
        if isinstance(part, Tensor)
        and part.shape == (samples,)
        and not part.is_floating_point()
        and part.dtype != torch.bool
        and samples > 0
        and 0 <= int(part.min()) <= int(part.max()) < classes
    ]
    return found[0] if len(found) == 1 else []


def score_bundle(checkpoint: Artifact, bundle: Artifact, context: Context) -> Score:
    """Score the bundle's ONNX file with the ``test_step`` of the checkpoint's module."""
    from lifecycle.compress.cost import count_cost
    from lifecycle.export.operators import quantized_weights

    module = open_checkpoint(checkpoint)
    cost = count_cost(module, example_inputs(module))
    metrics, forward = score_file(module, open_model(bundle, "onnx", threads=1), context)
    file = bundle.file("model.onnx")
    return Score(
        metrics=metrics | asdict(cost) | {"size_bytes": float(file.stat().st_size)},
        predictions=tuple(forward.predictions),
        # A batch that did not tell would put all that follow beside the wrong sample.
        targets=tuple(forward.targets) if len(forward.targets) == len(forward.predictions) else (),
        weights=quantized_weights(file),
    )


def score_file(
    module: Module,
    model: Model,
    context: Context,
    *,
    loaders: Callable[[Loaders], Loaders] | None = None,
    callbacks: Sequence[Callback] = (),
) -> tuple[dict[str, float], FileForward]:
    """What the module's ``test_step`` logs when a file, of any format, answers in place of forward.

    Args:
        module: Whose step it is.
        model: The opened file.
        context: Data and seed.
        loaders: Given the project's test loaders; returns those to read in their place.
        callbacks: That watch the pass.
    """
    forward = FileForward(module, model)
    data = data_of(context)
    if loaders is not None:
        own = data.test_dataloader
        data.test_dataloader = lambda: loaders(own())  # type: ignore[method-assign]
    trainer = Trainer(
        accelerator="cpu" if context.several else "auto",
        callbacks=[_Watch(forward), *callbacks],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with with_forward(module, forward):
        trainer.test(module, datamodule=data, verbose=False)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}, forward


def time_bundles(
    bundles: Mapping[str, Artifact], calls: int, progress: Progress
) -> dict[str, dict[str, float]]:
    """Latency of each ONNX file at batch 1 with one thread, called in turn."""
    runs: dict[str, Callable[[], object]] = {}
    for name, bundle in bundles.items():
        model = open_model(bundle, "onnx", threads=1)
        inputs = random_inputs(model.signature, 1)
        runs[name] = lambda model=model, inputs=inputs: model.run(inputs)  # type: ignore[misc]
    with timed(progress, "timing the files") as told:
        found = measure_latency(runs, calls=calls, told=told)
    return {
        name: {"latency_ms": latency.median_ms, "latency_p95_ms": latency.p95_ms}
        for name, latency in found.items()
    }
