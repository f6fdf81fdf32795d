"""Gates that look at how the file would serve those who are served now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from lifecycle.core.compatibility import breaks
from lifecycle.core.errors import LifecycleError
from lifecycle.core.signature import Array, Signature, TensorSpec
from lifecycle.core.verdict import Row
from lifecycle.gates.case import Case

_SIZES = (1, 2, 7)


class Compatible:
    """Who sends requests to the champion may go on to send them."""

    def judge(self, case: Case) -> list[Row]:
        """A row for each input, output or axis that would break a client; one when there is none."""
        if case.champion is None:
            return []
        limit = f"takes and gives what version {case.champion.version.number} does"
        broken = breaks(case.champion.signature, case.candidate.signature)
        rows = [Row(term="signature", measured=text, limit=limit, holds=False) for text in broken]
        return rows or [Row(term="signature", measured="compatible", limit=limit, holds=True)]


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
