"""The one door to PyTorch's older ONNX exporter, which goes by a trace and is deprecated.

It can what the newer one cannot yet: recurrent layers over a dynamic length, for one.
``tests/export/test_torchscript_exporter.py`` fails when it goes (ADR-0007).
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lifecycle.core.errors import LifecycleError
from lifecycle.export.blame import blame
from lifecycle.export.tracing import recorded_trace

if TYPE_CHECKING:
    from onnx import ModelProto

    from lifecycle.export.network import Network

MAX_OPSET = 20


def trace_to_onnx(network: Network, opset: int) -> ModelProto:
    """Convert from a trace.

    Raises:
        LifecycleError: it cannot, or the trace followed a branch that may go otherwise for other values.
    """
    import onnx
    import torch

    from lifecycle.export.network import portable

    signature = network.signature
    axes = {
        spec.name: {index: axis for index, axis in enumerate(spec.shape) if isinstance(axis, str)}
        for spec in (*signature.inputs, *signature.outputs)
    }
    buffer = io.BytesIO()
    try:
        with portable(), _unprinted(), recorded_trace() as doubts:
            torch.onnx.export(
                network,
                network.example,
                buffer,  # type: ignore[arg-type]  # a stream is allowed without dynamo
                dynamo=False,
                opset_version=opset,
                input_names=[spec.name for spec in signature.inputs],
                output_names=[spec.name for spec in signature.outputs],
                dynamic_axes=axes,
            )
    except Exception as error:
        raise LifecycleError(
            f"the TorchScript-based exporter cannot convert {type(network.module).__name__}{blame(error)}"
        ) from error
    if doubts:
        raise LifecycleError(f"a trace would not be forward: {doubts[0]}")
    return onnx.load_model_from_string(buffer.getvalue())


@contextmanager
def _unprinted() -> Iterator[None]:
    """Where it fails it prints its whole graph, from C++, to the standard output: that is for data."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # there is none
        yield
        return
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)
