"""Whether one model can take the place of another without a client noticing."""

from __future__ import annotations

from collections.abc import Iterable

from lifecycle.core.signature import Signature, TensorSpec, shape_text


def breaks(old: Signature, new: Signature) -> list[str]:
    """What of `new` would break somebody who sends requests to `old`; nothing when they can go on.

    An input may take more than before, not less; an output may not change; there may be more outputs.

    Returns:
        One text to each break: the tensor or axis, what it is, what it was.

    >>> x = TensorSpec(name="x", dtype="float32", shape=("batch", 2))
    >>> wide = TensorSpec(name="x", dtype="float32", shape=("batch", 3))
    >>> breaks(Signature(inputs=(x,), outputs=()), Signature(inputs=(wide,), outputs=()))
    ["input 'x' is float32 [batch, 3]; it was float32 [batch, 2]"]
    """
    return [
        *_inputs(_by_name(old.inputs), _by_name(new.inputs)),
        *_outputs(_by_name(old.outputs), _by_name(new.outputs)),
        *_axes(old, new),
    ]


def _inputs(old: dict[str, TensorSpec], new: dict[str, TensorSpec]) -> Iterable[str]:
    for name in sorted(new.keys() - old.keys()):
        yield f"input '{name}' was not asked for"
    for name, spec in old.items():
        if name not in new:
            yield f"input '{name}' is gone"
        elif not _covers(new[name], spec):
            yield f"input '{name}' is {_text(new[name])}; it was {_text(spec)}"


def _outputs(old: dict[str, TensorSpec], new: dict[str, TensorSpec]) -> Iterable[str]:
    for name, spec in old.items():
        if name not in new:
            yield f"output '{name}' is gone"
        elif not _covers(spec, new[name]):
            yield f"output '{name}' is {_text(new[name])}; it was {_text(spec)}"


def _axes(old: Signature, new: Signature) -> Iterable[str]:
    """Limits of a dynamic axis may become wider; one without limits stays so."""
    for axis, (low, high) in new.axes.items():
        if axis not in old.dynamic_axes():
            continue
        before = old.axes.get(axis)
        if before is None:
            yield f"axis '{axis}' takes {low} to {high}; it took any size"
        elif low > before[0] or high < before[1]:
            yield f"axis '{axis}' takes {low} to {high}; it took {before[0]} to {before[1]}"


def _covers(wide: TensorSpec, narrow: TensorSpec) -> bool:
    """Whether every array that is `narrow` is `wide` too."""
    return (
        wide.dtype == narrow.dtype
        and len(wide.shape) == len(narrow.shape)
        and all(
            isinstance(one, str) or one == other for one, other in zip(wide.shape, narrow.shape, strict=True)
        )
    )


def _by_name(specs: Iterable[TensorSpec]) -> dict[str, TensorSpec]:
    return {spec.name: spec for spec in specs}


def _text(spec: TensorSpec) -> str:
    return f"{spec.dtype} {shape_text(spec.shape)}"
