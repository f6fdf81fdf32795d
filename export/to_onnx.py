"""ONNX: PyTorch's dynamo exporter, then everything out that computes nothing (ADR-0004)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.errors import LifecycleError
from lifecycle.core.signature import Signature
from lifecycle.export.formats import Format, Runner

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch.export import ExportedProgram

    from lifecycle.export.network import Network

OPSET = 21  # ONNX Runtime reads it from 1.18 on
_PREFIX = "module."  # what `Network` puts before the names of parameters


def write_onnx(network: Network, path: Path) -> None:
    """Convert a network to one self-contained file.

    Inputs and outputs are called as in the signature, axes with a name are dynamic. The same network
    gives the same bytes, in any process and folder.

    Args:
        network: In evaluation mode.
        path: The file to write.

    Raises:
        LifecycleError: the network cannot be traced or converted.
    """
    import onnx

    from lifecycle.export.fold import fold_quantized_
    from lifecycle.export.graph import compact_
    from lifecycle.export.layer_names import name_layers_
    from lifecycle.export.network import to_program

    with _quiet():
        model = _convert(to_program(network), network)
    fold_quantized_(model)
    layers = name_layers_(model, _PREFIX)
    _name_parameters(model)
    names = (name.removeprefix(_PREFIX) for name in (*network.state_dict(), *layers))
    compact_(model, frozenset(name for name in names if "." in name))
    _name_axes(model, network.signature)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def open_onnx(path: Path, signature: Signature, threads: int) -> Runner:
    """Run a file with ONNX Runtime; loads no torch."""
    from lifecycle.export.session import open_session, session_runner

    return session_runner(path, open_session(path, threads=threads), signature)


def open_as_written(path: Path, signature: Signature, threads: int) -> Runner:
    """Run a file operator by operator, none of them fused or replaced by an integer kernel."""
    from lifecycle.export.session import open_session, session_runner

    return session_runner(path, open_session(path, threads=threads, rewrite=False), signature)


def _convert(program: ExportedProgram, network: Network) -> ModelProto:
    import torch

    from lifecycle.export.network import first_line

    try:
        converted = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[spec.name for spec in network.signature.inputs],
            output_names=[spec.name for spec in network.signature.outputs],
            external_data=False,
            verbose=False,
        )
    except Exception as error:
        raise LifecycleError(
            f"PyTorch's ONNX exporter cannot convert {type(network.module).__name__}: {first_line(error)}",
            hint="The traceback (-v) names the operator; write that part of forward with others.",
        ) from error
    assert converted is not None
    return converted.model_proto


def _name_parameters(model: ModelProto) -> None:
    """Let parameters be called as in the user's module."""
    renamed = {tensor.name: tensor.name.removeprefix(_PREFIX) for tensor in model.graph.initializer}
    for tensor in model.graph.initializer:
        tensor.name = renamed[tensor.name]
    for node in model.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]


def _name_axes(model: ModelProto, signature: Signature) -> None:
    """Call free axes as the signature does; one that the exporter fixed stays fixed, for the proof to see."""
    pairs = (*zip(model.graph.input, signature.inputs, strict=True),)
    pairs += (*zip(model.graph.output, signature.outputs, strict=True),)
    for value, spec in pairs:
        for axis, name in zip(value.type.tensor_type.shape.dim, spec.shape, strict=True):
            if isinstance(name, str) and not axis.HasField("dim_value"):
                axis.dim_param = name


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress and notices, which users can do nothing about, from being printed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


ONNX = Format(
    name="onnx", filename="model.onnx", write=write_onnx, open=open_onnx, open_as_written=open_as_written
)
