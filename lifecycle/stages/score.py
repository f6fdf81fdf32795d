"""Scoring and timing the ONNX file of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import UsageError
from lifecycle.core.signature import Signature
from lifecycle.core.stage import Context
from lifecycle.export.benchmark import measure_latency
from lifecycle.export.runtime import Model, open_model
from lifecycle.stages.fitting import data_of
from lifecycle.train.artifact import open_checkpoint
from lifecycle.train.callbacks import Callback
from lifecycle.train.describe import arrays, example_inputs, named_outputs
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
        weights: How many layers the file has, and how many of them hold INT8 weights.
    """

    metrics: dict[str, float]
    weights: QuantizedWeights
    predictions: tuple[int, ...] = ()


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
        with torch.inference_mode():
            example = module(*example_inputs(module))
        self.names = self._file_names(module, example)
        self.rebuild = _structure(example)

    def __call__(self, *inputs: Tensor) -> object:
        """Run the file."""
        self.calls += 1
        outputs = self.model.run(arrays(self.model.signature, tuple(tensor.cpu() for tensor in inputs)))
        found = [torch.from_numpy(np.array(outputs[name])) for name in self.names]
        if self.model.signature.labels and found[0].ndim == 2:
            self.predictions += found[0].argmax(dim=1).tolist()
        return self.rebuild(found)

    def _file_names(self, module: Module, example: object) -> list[str]:
        """The file's names of forward's own outputs: they come before those that `postprocess` adds."""
        own = len(named_outputs(example))
        return [spec.name for spec in self.model.signature.outputs][:own]


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


def score_bundle(checkpoint: Artifact, bundle: Artifact, context: Context) -> Score:
    """Score the bundle's ONNX file with the ``test_step`` of the checkpoint's module."""
    from lifecycle.compress.cost import count_cost
    from lifecycle.export.operators import quantized_weights

    module = open_checkpoint(checkpoint)
    forward = FileForward(module, open_model(bundle, "onnx"))
    trainer = Trainer(
        callbacks=_Watch(forward),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    cost = count_cost(module, example_inputs(module))
    with with_forward(module, forward):
        trainer.test(module, datamodule=data_of(context), verbose=False)
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    file = bundle.file("model.onnx")
    return Score(
        metrics=metrics | asdict(cost) | {"size_bytes": float(file.stat().st_size)},
        predictions=tuple(forward.predictions),
        weights=quantized_weights(file),
    )


def time_bundles(bundles: Mapping[str, Artifact], calls: int) -> dict[str, dict[str, float]]:
    """Latency of each ONNX file at batch 1 with one thread, called in turn."""
    runs: dict[str, Callable[[], object]] = {}
    for name, bundle in bundles.items():
        model = open_model(bundle, "onnx", threads=1)
        inputs = _one_sample(model.signature)
        runs[name] = lambda model=model, inputs=inputs: model.run(inputs)  # type: ignore[misc]
    found = measure_latency(runs, calls=calls)
    return {
        name: {"latency_ms": latency.median_ms, "latency_p95_ms": latency.p95_ms}
        for name, latency in found.items()
    }


def _one_sample(signature: Signature) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        spec.name: spec.random(generator, **{axis: 1 for axis in spec.shape if isinstance(axis, str)})
        for spec in signature.inputs
    }


def _structure(example: object) -> Callable[[list[Tensor]], object]:
    """What puts a list of tensors into the form that forward returns."""
    if isinstance(example, Tensor):
        return lambda tensors: tensors[0]
    if isinstance(example, Mapping):
        keys = list(example)
        return lambda tensors: dict(zip(keys, tensors, strict=True))
    return tuple
