"""Gates that look at how the file would serve those who are served now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from lifecycle.core.errors import LifecycleError
from lifecycle.core.signature import Array, Signature, TensorSpec, shape_text
from lifecycle.core.verdict import Row
from lifecycle.gates.case import Case

_SIZES = (1, 2, 7)


class Compatible:
    """Who sends requests to the champion may go on to send them."""

    def judge(self, case: Case) -> list[Row]:
        """A row for each input or output that would break a client; one when there is none."""
        if case.champion is None:
            return []
        new, old = case.candidate.signature, case.champion.signature
        broken = [*_inputs(old.inputs, new.inputs), *_outputs(old.outputs, new.outputs)]
        if broken:
            return broken
        limit = f"takes and gives what version {case.champion.version.number} does"
        return [Row(term="signature", measured="compatible", limit=limit, holds=True)]


class FiniteOutputs:
    """The file gives finite numbers: at random inputs in range, and at the ends of their ranges."""

    def judge(self, case: Case) -> list[Row]:
        """One row, which tells of the first outputs that are not finite."""
        from lifecycle.export.runtime import open_model

        allowed = "finite, at random inputs and the ends of their ranges"
        count = 0
        try:
            model = open_model(case.candidate.bundle)
            for what, arrays in _inputs_to_try(case.candidate.signature):
                count += 1
                for name, array in model.run(arrays).items():
                    if array.dtype.kind == "f" and not np.isfinite(array).all():
                        wrong = array[~np.isfinite(array)].flat[0]
                        text = f"{name} has {wrong} at {what}"
                        return [Row(term="outputs", measured=text, limit=allowed, holds=False)]
        except LifecycleError as error:
            return [Row(term="outputs", measured=error.message, limit=allowed, holds=False)]
        return [Row(term="outputs", measured=f"finite at {count} inputs", limit=allowed, holds=True)]


def _inputs_to_try(signature: Signature) -> Iterator[tuple[str, dict[str, Array]]]:
    generator = np.random.default_rng(0)
    for size in _SIZES:
        sizes = signature.sizes(size)
        yield (
            f"random inputs of batch {size}",
            {spec.name: spec.random(generator, **sizes) for spec in signature.inputs},
        )
    sizes = signature.sizes(1)
    for name, end in (("least", 0), ("greatest", 1)):
        yield (
            f"inputs of the {name} values",
            {spec.name: _filled(spec, (spec.range or (0.0, 1.0))[end], sizes) for spec in signature.inputs},
        )


def _filled(spec: TensorSpec, value: float, sizes: Mapping[str, int]) -> Array:
    shape = tuple(sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape)
    return np.full(shape, value, spec.dtype)


def _inputs(old: Iterable[TensorSpec], new: Iterable[TensorSpec]) -> list[Row]:
    """An input may accept more than before, not less."""
    before, after = _by_name(old), _by_name(new)
    rows = [
        _row(f"input '{name}'", _text(spec), "not asked for")
        for name, spec in after.items()
        if name not in before
    ]
    for name, spec in before.items():
        if name not in after:
            rows.append(_row(f"input '{name}'", "gone", _text(spec)))
        elif not _accepts(after[name], spec):
            rows.append(_row(f"input '{name}'", _text(after[name]), _text(spec)))
    return rows


def _outputs(old: Iterable[TensorSpec], new: Iterable[TensorSpec]) -> list[Row]:
    """An output may not change; there may be more of them."""
    after = _by_name(new)
    return [
        _row(f"output '{spec.name}'", _text(after[spec.name]) if spec.name in after else "gone", _text(spec))
        for spec in old
        if spec.name not in after or not _accepts(spec, after[spec.name])
    ]


def _accepts(wide: TensorSpec, narrow: TensorSpec) -> bool:
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


def _row(term: str, measured: str, limit: str) -> Row:
    return Row(term=term, measured=measured, limit=f"as the champion: {limit}", holds=False)
