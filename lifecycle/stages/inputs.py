"""The inputs that a module's own steps give to its forward: real samples to calibrate and to compare with."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

import numpy as np
from torch import Tensor

from lifecycle.core.errors import UsageError
from lifecycle.core.signature import Array, Signature, TensorSpec, shape_text
from lifecycle.core.stage import Context
from lifecycle.export.batches import batch_axis
from lifecycle.export.structure import named_arrays
from lifecycle.stages.passing import pass_inputs
from lifecycle.train.nested import map_tensors

if TYPE_CHECKING:
    from lifecycle.train.module import Module


def record_inputs(module: Module, context: Context, split: str, *, batches: int) -> list[tuple[Tensor, ...]]:
    """What ``validation_step`` passes to forward for the first batches of a split.

    A loader may yield anything; only the module's step knows what of it is forward's input.

    Args:
        module: Left as it is.
        context: Data and seed.
        split: ``train`` or ``val``.
        batches: How many batches to read.

    Raises:
        UsageError: the step never calls forward.
    """
    seen: list[tuple[Tensor, ...]] = []
    forward = module.forward

    def record(*inputs: Tensor) -> object:
        kept = map_tensors(inputs, lambda tensor: tensor.detach().clone())
        seen.append(cast("tuple[Tensor, ...]", kept))
        return forward(*inputs)

    pass_inputs(module, context, split, record, batches=batches)
    return seen


def samples(signature: Signature, inputs: list[tuple[Tensor, ...]], limit: int | None) -> dict[str, Array]:
    """The first `limit` recorded samples as one array for each input of the signature.

    Batches may differ along dynamic axes; all are cut to the shortest there.

    Raises:
        UsageError: they differ along an axis that the signature fixes.
    """
    recorded = [named_arrays(signature, given) for given in inputs]
    batch = batch_axis(signature)
    found = {}
    for spec in signature.inputs:
        arrays = [item[spec.name] for item in recorded]
        _check_fixed(spec, arrays)
        if batch not in spec.shape:
            found[spec.name] = arrays[0]
            continue
        ends = [
            min(array.shape[index] for array in arrays) if isinstance(axis, str) and axis != batch else None
            for index, axis in enumerate(spec.shape)
        ]
        cut = [array[tuple(slice(end) for end in ends)] for array in arrays]
        along = spec.shape.index(batch)
        joined = np.concatenate(cut, axis=along)
        found[spec.name] = joined.take(range(min(limit or sys.maxsize, joined.shape[along])), along)
    return found


def _check_fixed(spec: TensorSpec, arrays: list[Array]) -> None:
    for array in arrays:
        for index, axis in enumerate(spec.shape):
            if array.ndim == len(spec.shape) and isinstance(axis, int) and array.shape[index] != axis:
                raise UsageError(
                    f"the data gives input '{spec.name}' as {shape_text(array.shape)}, and the signature "
                    f"fixes axis {index} at {axis}: {shape_text(spec.shape)}",
                    hint=f"If that axis varies, name it in signature(): shape=(…, 'length', …) at {index}.",
                )
        spec.check(array)
