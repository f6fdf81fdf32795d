"""The first runs of a model: it works, how long it takes, and whether a batch changes an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeAlias

import numpy as np

from lifecycle.core.errors import LifecycleError
from lifecycle.core.signature import Array, Signature
from lifecycle.export.runtime import Model
from lifecycle.serve.batching.batch import compute, count_samples, is_joinable
from lifecycle.serve.batching.cost import Cost

Arrays: TypeAlias = "Mapping[str, Array]"

_TOLERANCE = 1e-3
_RUNS = 3
_COPIES = 4
_GUESSES = (1, 2, 8, 16)


@dataclass(frozen=True, kw_only=True)
class Probed:
    """What the first runs showed.

    Attributes:
        joinable: Whether each request of a batch gets the answer that it would get alone.
        cost: Times of the runs.
    """

    joinable: bool = False
    cost: Cost = field(default_factory=Cost)


def probe(model: Model) -> Probed:
    """Run one sample, so that the first client waits for no allocation; and two, alone and together.

    A network may mix the samples of a batch, as dynamic quantization does (one scale for the whole tensor):
    what a client is answered would depend on its neighbours. The second sample is made small against the
    first so that this shows. Where no limits say which sizes make sense on dynamic axes beside the batch, a
    few are tried, and failing is no fault.

    Raises:
        LifecycleError: the model cannot be run on what its signature declares.
    """
    signature, cost = model.signature, Cost()
    inner = {axis for spec in signature.inputs for axis in spec.shape[1:] if isinstance(axis, str)}
    guesses = _GUESSES if inner - set(signature.axes) else (1,)
    for guess in guesses:
        try:
            first, second = _sample(signature, guess, 0), _sample(signature, guess, 1)
            alone = _timed(model, first, 1, cost), _timed(model, second, 1, cost)
        except LifecycleError:
            if guesses == (1,):
                raise
            continue
        joinable = is_joinable(signature) and _mixes_nothing(model, (first, second), alone, cost)
        return Probed(joinable=joinable, cost=cost)
    return Probed()


def _mixes_nothing(
    model: Model, pair: tuple[Arrays, Arrays], alone: tuple[Arrays, Arrays], cost: Cost
) -> bool:
    """Whether several copies of a pair get the answers that each of the two got alone."""
    axis = str(model.signature.inputs[0].shape[0])
    size = count_samples(pair[0], model.signature.inputs[0].name)
    copies = min(_COPIES, model.signature.axes.get(axis, (1, 2 * _COPIES * size))[1] // (2 * size))
    arrays = list(pair) * copies
    for _ in range(_RUNS):
        done = compute(model, arrays, [size] * len(arrays))
        if done.executions > 1:  # it could not be computed together
            return False
        cost.observe(done.samples, done.time_s)
    return all(
        not isinstance(answer, Exception) and _close(answer[name], alone[at % 2][name])
        for at, answer in enumerate(done.answers)
        for name in alone[0]
    )


def _close(got: Array, want: Array) -> bool:
    if got.shape != want.shape:
        return False
    if got.dtype.kind != "f":
        return bool(np.array_equal(got, want))
    wide = want.astype(np.float64)
    scale = float(np.abs(wide[np.isfinite(wide)]).max(initial=0.0))
    return bool(np.allclose(got.astype(np.float64), wide, _TOLERANCE, _TOLERANCE * scale, equal_nan=True))


def _sample(signature: Signature, size: int, seed: int) -> dict[str, Array]:
    """Random inputs of one sample; every other dynamic axis gets that size, or what its limits allow."""
    generator, sizes = np.random.default_rng(seed), signature.sizes(size)
    batch = signature.inputs[0].shape[0] if signature.inputs[0].shape else 0
    if isinstance(batch, str):
        sizes[batch] = signature.sizes(1)[batch]
    arrays: dict[str, Array] = {}
    for spec in signature.inputs:
        array = spec.random(generator, **sizes)
        if seed and (spec.range is None or spec.range[0] <= 0):
            array = _smaller(array)
        arrays[spec.name] = array
    return arrays


def _smaller(array: Array) -> Array:
    """A sixteenth of the numbers."""
    if array.dtype.kind == "f":
        return np.divide(array, 16, dtype=array.dtype)
    return np.floor_divide(array, 16, dtype=array.dtype) if array.dtype.kind in "iu" else array


def _timed(model: Model, arrays: Arrays, size: int, cost: Cost) -> Arrays:
    """Run it a few times; the first is not counted, as it allocates."""
    outputs = model.run(arrays)
    for _ in range(_RUNS):
        started = perf_counter()
        model.run(arrays)
        cost.observe(size, perf_counter() - started)
    return outputs
