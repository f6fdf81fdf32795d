"""Quantizing what export writes: the record, and what the file then scores on the validation split."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from lifecycle.compress.file_edit import FileCalibration, FileEdit, layers_kept
from lifecycle.compress.processor import Integers
from lifecycle.compress.ranges import RangeOf
from lifecycle.core.artifact import Artifact
from lifecycle.core.stage import Context
from lifecycle.export.quantize_file import quantize_file, watch_activations
from lifecycle.export.runtime import open_file
from lifecycle.stages.export import export_checkpoint
from lifecycle.stages.fitting import measure
from lifecycle.stages.passing import pass_inputs
from lifecycle.stages.score import FileForward
from lifecycle.train.describe import arrays, signature_of
from lifecycle.train.forward import with_forward

if TYPE_CHECKING:
    from lifecycle.train.module import Module


def plan_file_edit(
    module: Module,
    checkpoint: Artifact,
    context: Context,
    *,
    method: Literal["dynamic", "static"],
    integers: Integers,
    keep_float: tuple[str, ...],
    range_of: RangeOf,
    batches: int,
    reason: str = "",
) -> tuple[FileEdit, dict[str, float]]:
    """What is to be done to the file of a checkpoint, and what validation gives for the result.

    The checkpoint is exported, proven, calibrated where the method needs it, quantized, and scored, all in a
    folder that is gone afterwards: export does it again, for all formats, from the record.

    Args:
        module: Of the checkpoint.
        checkpoint: In float.
        context: Data and seed.
        method: ``dynamic`` or ``static``.
        integers: What to compute with.
        keep_float: Names or patterns of modules whose layers stay in float.
        range_of: How an activation's range is found, for ``static``.
        batches: Of the training split to find ranges with.
        reason: Why it is done to the file.

    Raises:
        UsageError: a pattern matches nothing, or calibration data cannot be used.
        RefusedError: nothing becomes integers.
    """
    kept = layers_kept(module, keep_float)
    with TemporaryDirectory() as folder:
        float_file = export_checkpoint(checkpoint, Path(folder) / "float", context, ("onnx",), {}).file(
            "model.onnx"
        )
        ranges = {}
        if method == "static":
            seen = FileCalibration()
            forward = _watched(module, float_file, seen)
            pass_inputs(module, context, "train", forward, batches=batches)
            ranges = seen.ranges(range_of)
        edit = FileEdit(method=method, integers=integers, keep_float=kept, ranges=ranges, reason=reason)
        file = Path(folder) / "model.onnx"
        shutil.copyfile(float_file, file)
        quantize_file(file, [edit.to_json()])
        model = open_file(file, signature_of(module), "onnx")
        with with_forward(module, FileForward(module, model)):
            return edit, measure(module, context)


def _watched(module: Module, file: Path, seen: FileCalibration) -> Callable[..., object]:
    """Forward, which shows the same inputs to the file."""
    signature, run, forward = signature_of(module), watch_activations(file), module.forward

    def watched(*inputs: Tensor) -> object:
        seen.add(run(arrays(signature, tuple(tensor.cpu() for tensor in inputs))))
        return forward(*inputs)

    return watched
