"""What a model takes and gives: the one description that export, proof, server and page read.

Plain data and numpy: the serving process reads it and never loads torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
import numpy.typing as npt

from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError, suggest
from lifecycle.core.statistics import Statistics

Array = npt.NDArray[np.generic]
Axis = int | str


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """One named tensor.

    Attributes:
        name: As in the exported file.
        dtype: numpy's name of the element type, ``"float32"``; ``"object"`` for texts.
        shape: Fixed axes as numbers, dynamic ones as names: ``("batch", 1, 8, 8)``.
        range: Least and greatest sensible value, both included; None when unknown.
    """

    name: str
    dtype: str
    shape: tuple[Axis, ...]
    range: tuple[float, float] | None = None

    def check(self, array: Array) -> None:
        """Raise `UsageError` unless type and shape are as declared (values are not looked at)."""
        if array.dtype.name != self.dtype:
            raise UsageError(f"input '{self.name}': expected {self.dtype}, got {array.dtype.name}")
        fits = len(array.shape) == len(self.shape) and all(
            isinstance(want, str) or want == got for want, got in zip(self.shape, array.shape, strict=True)
        )
        if not fits:
            raise UsageError(
                f"input '{self.name}': expected shape {shape_text(self.shape)}, got {shape_text(array.shape)}"
            )
        if prod(array.shape) == 0:
            raise UsageError(f"input '{self.name}': shape {shape_text(array.shape)} holds no elements")

    def random(self, generator: np.random.Generator, **axes: int) -> Array:
        """Values drawn uniformly over `range` (zero to one when unknown); texts are all the same.

        Args:
            generator: numpy's source of randomness.
            axes: A size for every dynamic axis, by its name.
        """
        shape = tuple(axes[axis] if isinstance(axis, str) else axis for axis in self.shape)
        low, high = self.range or (0.0, 1.0)
        if self.dtype == "object":
            return np.full(shape, "text", dtype=object)
        if np.dtype(self.dtype).kind == "f":
            return generator.uniform(low, high, shape).astype(self.dtype)
        return generator.integers(int(low), int(high), shape, endpoint=True).astype(self.dtype)

    def to_json(self) -> dict[str, JSON]:
        """Plain data for ``signature.json``."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "range": list(self.range) if self.range else None,
        }


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What a model takes, gives and means.

    Attributes:
        inputs: In the order of forward's parameters. What lies in a dictionary or tuple is called after the
            way to it: ``batch.ids``, ``pair.0``.
        outputs: In the order of the file.
        labels: Class labels in the order of the logits.
        task: ``"classification"``, ``"regression"`` or the user's own word.
        axes: Least and greatest size of dynamic axes, both included, by name: ``{"length": (1, 128)}``. A
            file is proven over them, and takes no other size. Without limits, a few sizes are proven.
        licence: An SPDX identifier, such as ``"Apache-2.0"``.
        statistics: Of the training data, by the name of the input.

    Raises:
        UsageError: `axes` names an axis that no input has, or limits that are no sizes.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...] = ()
    task: str = ""
    axes: Mapping[str, tuple[int, int]] = field(default_factory=dict, hash=False)
    licence: str = ""
    statistics: Mapping[str, Statistics] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        named = self.dynamic_axes()
        for axis, (low, high) in self.axes.items():
            if axis not in named:
                raise UsageError(f"axes: no input has an axis '{axis}': {suggest(axis, named)}")
            if not 1 <= low < high:
                raise UsageError(
                    f"axes: '{axis}' is from {low} to {high}; expected 1 <= least < greatest "
                    "(write an axis of one size as a number in the shape)"
                )

    def dynamic_axes(self) -> tuple[str, ...]:
        """Names of the inputs' dynamic axes, in order of appearance."""
        return tuple(
            dict.fromkeys(axis for spec in self.inputs for axis in spec.shape if isinstance(axis, str))
        )

    def sizes(self, size: int) -> dict[str, int]:
        """That size for every dynamic axis of the inputs, or the nearest that its limits allow.

        >>> spec = TensorSpec(name="ids", dtype="int64", shape=("batch", "length"))
        >>> Signature(inputs=(spec,), outputs=(), axes={"length": (2, 8)}).sizes(16)
        {'batch': 16, 'length': 8}
        """
        limits = {axis: self.axes.get(axis, (size, size)) for axis in self.dynamic_axes()}
        return {axis: min(max(size, low), high) for axis, (low, high) in limits.items()}

    def check(self, arrays: Mapping[str, Array]) -> None:
        """Raise `UsageError` unless `arrays` are just the declared inputs, their dynamic axes agreeing."""
        names = [spec.name for spec in self.inputs]
        for name in sorted(set(names) ^ set(arrays)):
            state = "is missing" if name in names else "is unknown"
            raise UsageError(f"input '{name}' {state}; expected: {', '.join(names)}")
        sizes: dict[str, int] = {}
        for spec in self.inputs:
            spec.check(arrays[spec.name])
            for axis, size in zip(spec.shape, arrays[spec.name].shape, strict=True):
                if isinstance(axis, str) and sizes.setdefault(axis, size) != size:
                    other = sizes[axis]
                    raise UsageError(
                        f"input '{spec.name}': axis '{axis}' is {size} here and {other} in another input"
                    )
                low, high = self.axes.get(str(axis), (size, size))
                if not low <= size <= high:
                    raise UsageError(
                        f"input '{spec.name}': axis '{axis}' is {size}; this model takes {low} to {high}"
                    )

    def to_json(self) -> dict[str, JSON]:
        """Plain data for ``signature.json``; what is empty of the later additions is left out."""
        more: dict[str, JSON] = {
            "axes": {axis: list(limits) for axis, limits in self.axes.items()},
            "licence": self.licence,
            "statistics": {name: found.to_json() for name, found in self.statistics.items()},
        }
        return {
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
            "labels": list(self.labels),
            "task": self.task,
            **{name: value for name, value in more.items() if value},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, JSON]) -> Signature:
        """The inverse of `to_json`; raises `UsageError` when something is missing or of another type."""
        try:
            return cls(
                inputs=tuple(_spec(item) for item in _list(content["inputs"])),
                outputs=tuple(_spec(item) for item in _list(content["outputs"])),
                labels=tuple(str(label) for label in _list(content["labels"])),
                task=str(content["task"]),
                axes={axis: _limits(limits) for axis, limits in _object(content.get("axes")).items()},
                licence=str(content.get("licence", "")),
                statistics={
                    name: Statistics.from_json(found)
                    for name, found in _object(content.get("statistics")).items()
                },
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"not a signature: {error!r}") from error


def shape_text(shape: tuple[Axis, ...]) -> str:
    """A shape as people write it.

    >>> shape_text(("batch", 1, 8, 8))
    '[batch, 1, 8, 8]'
    """
    return "[" + ", ".join(str(axis) for axis in shape) + "]"


def _list(value: JSON) -> list[JSON]:
    if not isinstance(value, list):
        raise TypeError(f"expected a list, got {value!r}")
    return value


def _object(value: JSON) -> Mapping[str, JSON]:
    if value is not None and not isinstance(value, Mapping):
        raise TypeError(f"expected an object, got {value!r}")
    return value or {}


def _limits(value: JSON) -> tuple[int, int]:
    low, high = _list(value)
    if not isinstance(low, int) or not isinstance(high, int):
        raise TypeError(f"expected two whole numbers, got {value!r}")
    return low, high


def _spec(value: JSON) -> TensorSpec:
    if not isinstance(value, Mapping):
        raise TypeError(f"expected an object, got {value!r}")
    limits = value.get("range")
    bounds = tuple(float(limit) for limit in _list(limits)) if limits is not None else None  # type: ignore[arg-type]
    if bounds is not None and len(bounds) != 2:
        raise ValueError(f"a range has two ends, got {limits!r}")
    return TensorSpec(
        name=str(value["name"]),
        dtype=np.dtype(str(value["dtype"])).name,
        shape=tuple(axis if isinstance(axis, int) else str(axis) for axis in _list(value["shape"])),
        range=bounds,
    )
