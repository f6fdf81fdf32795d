"""Several requests computed as one, and each given its own rows of the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TypeAlias, cast

import numpy as np

from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.core.signature import Array, Signature
from lifecycle.export.runtime import Model
from lifecycle.serve.errors import ModelFailedError

Outputs: TypeAlias = "dict[str, Array]"


@dataclass(slots=True, kw_only=True)
class Computed:
    """What came of a batch.

    Attributes:
        answers: Outputs to each request, or the error that is its alone.
        samples: In all requests together.
        executions: How often the network ran.
        started: When, by `time.perf_counter`.
        input_s: Seconds to put the inputs together.
        infer_s: Seconds that the network ran.
        output_s: Seconds to take the outputs apart.
    """

    answers: list[Outputs | Exception]
    samples: int
    executions: int
    started: float
    input_s: float
    infer_s: float
    output_s: float

    @property
    def time_s(self) -> float:
        """Seconds from the first input to the last output."""
        return self.input_s + self.infer_s + self.output_s


def is_joinable(signature: Signature) -> bool:
    """Whether the first axis of every input and output is the batch, of any size, and no other axis is.

    >>> from lifecycle.core.signature import TensorSpec
    >>> image = TensorSpec(name="image", dtype="uint8", shape=("batch", 8))
    >>> mean = TensorSpec(name="mean", dtype="float32", shape=(1,))
    >>> is_joinable(Signature(inputs=(image,), outputs=(image,)))
    True
    >>> is_joinable(Signature(inputs=(image,), outputs=(image, mean)))
    False
    """
    specs = (*signature.inputs, *signature.outputs)
    firsts = {spec.shape[0] if spec.shape else 0 for spec in specs}
    inner = {axis for spec in specs for axis in spec.shape[1:]}
    return len(firsts) == 1 and isinstance(next(iter(firsts)), str) and not firsts & inner


def compute(model: Model, arrays: Sequence[Mapping[str, Array]], sizes: Sequence[int]) -> Computed:
    """Run the network on several requests at once, or on each alone where that fails; raises nothing.

    Args:
        model: Takes them all in one, where there is more than one.
        arrays: Inputs by name of each request.
        sizes: Samples of each request.
    """
    started = perf_counter()
    if len(arrays) == 1:
        answers = [_alone(model, arrays[0])]
        infer_s = perf_counter() - started
        return Computed(
            answers=answers, samples=sizes[0], executions=1, started=started, input_s=0.0,
            infer_s=infer_s, output_s=0.0,
        )  # fmt: skip
    ready, executions = started, 1
    try:
        joined = {name: np.concatenate([one[name] for one in arrays]) for name in arrays[0]}
        ready = perf_counter()
        outputs = model.compute(joined)
        done = perf_counter()
        answers = list(split(outputs, sizes))
    except Exception:  # whose fault it is, each alone will show
        answers = [_alone(model, one) for one in arrays]
        executions += len(arrays)
        done = perf_counter()
    return Computed(
        answers=answers, samples=sum(sizes), executions=executions, started=started,
        input_s=ready - started, infer_s=done - ready, output_s=perf_counter() - done,
    )  # fmt: skip


def split(outputs: Mapping[str, Array], sizes: Sequence[int]) -> list[Outputs]:
    """Views of each request's own rows.

    Raises:
        LifecycleError: an output has not one row to a sample.
    """
    total = sum(sizes)
    for name, array in outputs.items():
        if array.shape[:1] != (total,):
            raise LifecycleError(f"output '{name}' has shape {list(array.shape)} for {total} samples")
    parts: list[Outputs] = []
    begin = 0
    for size in sizes:
        end = begin + size
        parts.append({name: array[begin:end] for name, array in outputs.items()})
        begin = end
    return parts


def _alone(model: Model, arrays: Mapping[str, Array]) -> Outputs | Exception:
    try:
        return model.compute(arrays)
    except Exception as error:  # told to the one that it belongs to
        return error


def count_samples(arrays: Mapping[str, Array], name: str) -> int:
    """The length of an input's first axis."""
    shape = arrays[name].shape
    return cast(int, shape[0]) if shape else 1


def blamed(error: Exception) -> Exception:
    """What the client is told: that the network cannot compute these values, unless something else failed."""
    if isinstance(error, UsageError) or not isinstance(error, LifecycleError):
        return error
    told = ModelFailedError(error.message)
    told.__cause__ = error
    return told
