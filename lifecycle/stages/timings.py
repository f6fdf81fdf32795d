"""How long a call takes: PyTorch beside ONNX Runtime, dense beside compressed, by batch and threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import cast

import numpy as np
import torch
from torch import nn

from lifecycle.core.artifact import Artifact
from lifecycle.core.canonical import JSON
from lifecycle.core.signature import Array, Signature
from lifecycle.export.benchmark import measure_latency
from lifecycle.export.network import threads as torch_threads
from lifecycle.export.network import to_tensors
from lifecycle.export.runtime import open_model

BATCHES = (1, 16)
EAGER, COMPILED = "dense, PyTorch", "dense, torch.compile"
DENSE, COMPRESSED = "dense, ONNX Runtime", "compressed, ONNX Runtime"


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One form of a network, called with so many samples on so many threads.

    Attributes:
        form: ``"dense, PyTorch"``, ``"compressed, ONNX Runtime"``, …
        batch: Samples of a call.
        threads: That a call may use.
        median_ms: Of all calls.
        p95_ms: Of all calls.
    """

    form: str
    batch: int
    threads: int
    median_ms: float
    p95_ms: float

    def to_json(self) -> dict[str, JSON]:
        """For the facts of an artifact."""
        return cast("dict[str, JSON]", asdict(self))


def latencies(
    dense: nn.Module, bundles: Mapping[str, Artifact], *, calls: int, compiled: bool = False
) -> tuple[list[Timing], str]:
    """Time the dense module and the ONNX files, all forms in turn, so that they meet the same machine.

    Args:
        dense: In evaluation mode; run under ``inference_mode``.
        bundles: By name, ``{"dense": …, "compressed": …}``; they share a signature.
        calls: How often each is timed.
        compiled: Time the module under ``torch.compile`` as well.

    Returns:
        The timings, and why there are none of ``torch.compile`` where they were asked for; else empty.
    """
    signature = open_model(next(iter(bundles.values()))).signature
    found: list[Timing] = []
    problem = ""
    modules: dict[str, Callable[..., object]] = {EAGER: dense}
    if compiled:
        modules[COMPILED] = torch.compile(deepcopy(dense))
    for batch in BATCHES if _free(signature) else BATCHES[:1]:
        inputs = random_inputs(signature, batch)
        if COMPILED in modules and (problem := _problem(modules[COMPILED], signature, inputs)):
            del modules[COMPILED]
        for count in sorted({1, cores()}):
            runs = {name: _eager(module, signature, inputs) for name, module in modules.items()}
            for name, bundle in bundles.items():
                model = open_model(bundle, "onnx", threads=count)
                runs[f"{name}, ONNX Runtime"] = lambda model=model, inputs=inputs: model.run(inputs)  # type: ignore[misc]
            with torch_threads(count):
                measured = measure_latency(runs, calls=calls, warm_up=5)
            found += [
                Timing(
                    form=name,
                    batch=batch,
                    threads=count,
                    median_ms=latency.median_ms,
                    p95_ms=latency.p95_ms,
                )
                for name, latency in measured.items()
            ]
    return found, problem


def slower(timings: Sequence[Timing]) -> list[str]:
    """Where the compressed file takes longer than the dense one, in words."""
    at = {(timing.form, timing.batch, timing.threads): timing.median_ms for timing in timings}
    return [
        f"the compressed file is slower than the dense one at batch {batch} on {count} "
        f"thread{'s' if count > 1 else ''}: {after:.3f} ms against {before:.3f} ms"
        for (form, batch, count), after in at.items()
        if form == COMPRESSED and after > (before := at.get((DENSE, batch, count), after))
    ]


def random_inputs(signature: Signature, batch: int) -> dict[str, Array]:
    """A batch of random values in the signature's ranges; every free axis has that many."""
    generator = np.random.default_rng(0)
    return {
        spec.name: spec.random(generator, **{axis: batch for axis in spec.shape if isinstance(axis, str)})
        for spec in signature.inputs
    }


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _free(signature: Signature) -> bool:
    return all(spec.shape and isinstance(spec.shape[0], str) for spec in signature.inputs)


def _eager(
    module: Callable[..., object], signature: Signature, inputs: Mapping[str, Array]
) -> Callable[[], object]:
    tensors = to_tensors(signature, inputs)

    def run() -> object:
        with torch.inference_mode():
            return module(*tensors)

    return run


def _problem(module: Callable[..., object], signature: Signature, inputs: Mapping[str, Array]) -> str:
    """Why a compiled module does not run; empty when it does."""
    try:
        _eager(module, signature, inputs)()
    except Exception as error:  # no compiler, no headers, or whatever inductor raises
        return f"torch.compile does not work here: {str(error).splitlines()[0]}"
    return ""
