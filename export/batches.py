"""The data that a file is traced with, and compared with its module on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lifecycle.core.signature import Array, Signature, TensorSpec

SIZES = (1, 2, 7)
LARGEST_BATCH = 32  # where the signature sets no limit
EDGES = ("zeros", "lowest", "highest")
SEED = 0


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Inputs by name.

    Attributes:
        data: ``samples``, ``random``, or one of `EDGES`.
        size: How many samples it holds.
        inputs: One array to each input.
        axes: Sizes of the dynamic axes other than the batch, by name.
    """

    data: str
    size: int
    inputs: Mapping[str, Array]
    axes: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        axes = ", ".join(f"{axis} {size}" for axis, size in self.axes.items())
        return f"{self.size} of {self.data}{f' ({axes})' if axes else ''}"


def batches(signature: Signature, samples: Mapping[str, Array]) -> Iterator[Batch]:
    """Batches at several sizes along every dynamic axis: of samples, of random values, and of edges.

    Along the batch axis and along every other: its least size, 2, 7 and its greatest, those within its
    limits; without limits the greatest is `LARGEST_BATCH` samples, or what the samples have. The other axes
    are then as long as in the samples. Samples go as far as there are so many, or as they are long.
    """
    lengths = _lengths(signature, samples)
    axis = batch_axis(signature)
    count = lengths.get(axis, 0) if axis else 0
    sizes = _sizes(signature, axis, LARGEST_BATCH) if axis else (_fixed(signature, samples),)
    for size in sorted({max(sizes[0], min(size, count)) for size in sizes}) if axis else sizes:
        yield _of_samples(signature, _enough(signature, samples, size), {axis: size} if axis else {})
    few = max(sizes[0], min(2, sizes[-1]))
    varied: list[tuple[str | None, int]] = [(axis, size) for size in sizes]
    varied += [
        (other, size)
        for other in signature.dynamic_axes()
        if other != axis
        for size in _sizes(signature, other, lengths[other])
    ]
    base = lengths | ({axis: few} if axis else {})
    for other, size in varied:
        changed = base | ({other: size} if other else {})
        if other not in (axis, None) and size < lengths[str(other)]:
            enough = _enough(signature, samples, few)
            yield _of_samples(signature, enough, {str(other): size} | ({axis: few} if axis else {}))
        yield _made(signature, "random", changed, sizes[0], axis)
    for edge in EDGES:
        if all(_edge(spec, edge) is not None for spec in signature.inputs):
            yield _made(signature, edge, base, sizes[0], axis)


def check_samples(signature: Signature, samples: Mapping[str, Array]) -> None:
    """Raise `UsageError` unless samples are as declared; of the batch axis there may be any number."""
    axis = batch_axis(signature)
    limits = {name: limits for name, limits in signature.axes.items() if name != axis}
    replace(signature, axes=limits).check(samples)


def example(signature: Signature, samples: Mapping[str, Array]) -> dict[str, Array]:
    """What to trace with: two samples, since exporters take an axis of size one for a fixed one, or more."""
    axis = batch_axis(signature)
    low, _ = signature.axes.get(axis or "", (2, 2))
    enough = _enough(signature, samples, low) if axis else samples
    return pick(signature, enough, [*range(max(low - 1, 1)), -1])


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


def cut(signature: Signature, samples: Mapping[str, Array], sizes: Mapping[str, int]) -> dict[str, Array]:
    """The beginning of samples along some axes."""
    found = {}
    for spec in signature.inputs:
        ends = (sizes.get(axis) if isinstance(axis, str) else None for axis in spec.shape)
        found[spec.name] = samples[spec.name][tuple(slice(end) for end in ends)]
    return found


def _enough(signature: Signature, samples: Mapping[str, Array], size: int) -> Mapping[str, Array]:
    """The samples, from the beginning again where there are fewer than `size`."""
    axis = batch_axis(signature)
    count = _lengths(signature, samples).get(axis, 0) if axis else 0
    if not 0 < count < size:
        return samples
    return pick(signature, samples, [index % count for index in range(size)])


def _sizes(signature: Signature, axis: str, greatest: int) -> tuple[int, ...]:
    low, high = signature.axes.get(axis, (1, greatest))
    return tuple(sorted({low, high, *(size for size in SIZES if low <= size <= high)}))


def _lengths(signature: Signature, samples: Mapping[str, Array]) -> dict[str, int]:
    return {
        axis: length
        for spec in signature.inputs
        for axis, length in zip(spec.shape, samples[spec.name].shape, strict=True)
        if isinstance(axis, str)
    }


def _fixed(signature: Signature, samples: Mapping[str, Array]) -> int:
    return next(iter(samples[signature.inputs[0].name].shape), 1)


def _of_samples(signature: Signature, samples: Mapping[str, Array], sizes: Mapping[str, int]) -> Batch:
    inputs = cut(signature, samples, sizes)
    return _batch(signature, "samples", inputs, _lengths(signature, inputs), _fixed(signature, inputs))


def _made(signature: Signature, data: str, sizes: Mapping[str, int], fixed: int, axis: str | None) -> Batch:
    generator = np.random.default_rng(SEED)
    inputs = {spec.name: _values(spec, data, sizes, generator) for spec in signature.inputs}
    return _batch(signature, data, inputs, sizes, sizes[axis] if axis else fixed)


def _batch(
    signature: Signature, data: str, inputs: Mapping[str, Array], sizes: Mapping[str, int], size: int
) -> Batch:
    axis = batch_axis(signature)
    axes = {other: sizes[other] for other in signature.dynamic_axes() if other != axis}
    return Batch(data=data, size=size, inputs=inputs, axes=axes)


def _values(spec: TensorSpec, data: str, sizes: Mapping[str, int], generator: np.random.Generator) -> Array:
    if data == "random":
        return replace(spec, range=_limits(spec)).random(generator, **sizes)
    shape = tuple(sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape)
    return np.full(shape, _edge(spec, data), dtype=spec.dtype)


def _edge(spec: TensorSpec, edge: str) -> float | None:
    """The value of an edge; None where it is no value of this input."""
    low, high = _limits(spec)
    if edge == "zeros":
        return 0.0 if low <= 0 <= high else None
    return low if edge == "lowest" else high


def random_inputs(signature: Signature, samples: int) -> dict[str, Array]:
    """Random values in range: so many samples within the limits, other dynamic axes of a middling size.

    Middling is half of the greatest size, or 16 where the signature sets no limit.
    """
    batch = batch_axis(signature)
    sizes = {axis: _middling(signature, axis) for axis in signature.dynamic_axes()}
    if batch:
        low, high = signature.axes.get(batch, (samples, samples))
        sizes[batch] = min(max(low, samples), high)
    generator = np.random.default_rng(SEED)
    return {spec.name: spec.random(generator, **sizes) for spec in signature.inputs}


def _middling(signature: Signature, axis: str) -> int:
    low, high = signature.axes.get(axis, (1, 32))
    return max(low, high // 2)


def _limits(spec: TensorSpec) -> tuple[float, float]:
    """The range of an input; where it is unknown, all bytes, or zero to one."""
    return spec.range or ((0.0, 255.0) if spec.dtype == "uint8" else (0.0, 1.0))
