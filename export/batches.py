"""The data that a file is traced with, and compared with its module on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lifecycle.core.signature import Array, Signature

SIZES = (1, 2, 7, 32)
SEED = 0


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Inputs by name, how many samples they hold, and whether those are real: ``samples`` or ``random``."""

    data: str
    size: int
    inputs: Mapping[str, Array]


def batches(signature: Signature, samples: Mapping[str, Array]) -> Iterator[Batch]:
    """Batches of several sizes, of the samples and of random values in the signature's range.

    Sizes are `SIZES`, for samples as far as there are so many; where the batch axis is fixed, its size.
    """
    count = next(iter(samples[signature.inputs[0].name].shape), 1)
    sizes = SIZES if batch_axis(signature) else (count,)
    for size in sorted({min(size, count) for size in sizes}):
        yield Batch(data="samples", size=size, inputs=pick(signature, samples, range(size)))
    for size in sizes:
        yield Batch(data="random", size=size, inputs=_random(signature, samples, size))


def batch_axis(signature: Signature) -> str | None:
    """The name of the first axis of the first input; None where it is fixed."""
    axis = next(iter(signature.inputs[0].shape), None)
    return axis if isinstance(axis, str) else None


def pick(signature: Signature, samples: Mapping[str, Array], indices: Sequence[int]) -> dict[str, Array]:
    """Some samples, along the batch axis wherever an input has it; all of them where it is fixed."""
    axis = batch_axis(signature)
    return {
        spec.name: np.take(samples[spec.name], indices, axis=spec.shape.index(axis))
        if axis is not None and axis in spec.shape
        else samples[spec.name]
        for spec in signature.inputs
    }


def _random(signature: Signature, samples: Mapping[str, Array], size: int) -> dict[str, Array]:
    """Dynamic axes other than the batch are as long as the samples'."""
    sizes = {
        axis: length
        for spec in signature.inputs
        for axis, length in zip(spec.shape, samples[spec.name].shape, strict=True)
        if isinstance(axis, str)
    }
    if axis := batch_axis(signature):
        sizes[axis] = size
    generator = np.random.default_rng(SEED)
    return {spec.name: spec.random(generator, **sizes) for spec in signature.inputs}
