"""How long a call takes: PyTorch beside ONNX Runtime, dense beside compressed, by batch and threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import nn

from lifecycle.core.artifact import Artifact
from lifecycle.core.canonical import JSON
from lifecycle.core.cores import available_cores
from lifecycle.core.signature import Array, Signature
from lifecycle.export.batches import random_inputs
from lifecycle.export.benchmark import measure_latency
from lifecycle.export.network import threads as torch_threads
from lifecycle.export.network import to_tensors
from lifecycle.export.runtime import open_model

BATCHES = (1, 16)
EAGER, COMPILED = "dense, PyTorch", "dense, torch.compile"
_RUNTIME = ", ONNX Runtime"
DENSE, COMPRESSED = f"dense{_RUNTIME}", f"compressed{_RUNTIME}"


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
    dense: nn.Module,
    bundles: Mapping[str, Artifact],
    *,
    calls: int,
    compiled: bool = False,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Timing], str]:
    """Time the dense module and the ONNX files, all forms in turn, so that they meet the same machine.

    Args:
        dense: In evaluation mode; run under ``inference_mode``.
        bundles: By name, ``{"dense": …, "compressed": …}``; they share a signature.
        calls: How often each is timed.
        compiled: Time the module under ``torch.compile`` as well.
        told: How many calls of how many are done, for each batch and number of threads anew.

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
        for count in sorted({1, available_cores()}):
            runs = {name: _eager(module, signature, inputs) for name, module in modules.items()}
            for name, bundle in bundles.items():
                model = open_model(bundle, "onnx", threads=count)
                runs[f"{name}{_RUNTIME}"] = lambda model=model, inputs=inputs: model.run(inputs)  # type: ignore[misc]
            with torch_threads(count):
                measured = measure_latency(runs, calls=calls, warm_up=5, told=told)
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
    """Where the file of a step takes longer than that of the step before it, or the last than the first."""
    at = {(timing.form, timing.batch, timing.threads): timing.median_ms for timing in timings}
    forms = [form for form in dict.fromkeys(timing.form for timing in timings) if form.endswith(_RUNTIME)]
    pairs = dict.fromkeys([*pairwise(forms), *([(forms[0], forms[-1])] if forms else [])])
    return [
        f"the {other.removesuffix(_RUNTIME)} file is slower than the {one.removesuffix(_RUNTIME)} one "
        f"at batch {batch} on {count} thread{'s' if count > 1 else ''}: "
        f"{after:.3f} ms against {before:.3f} ms"
        for one, other in pairs
        for (form, batch, count), after in at.items()
        if form == other and after > (before := at.get((one, batch, count), after))
    ]


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
