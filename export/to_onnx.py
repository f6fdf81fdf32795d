"""ONNX: the first of three exporters that can, then everything out that computes nothing (ADR-0007)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.core.signature import Signature
from lifecycle.export.formats import DATA, Attempt, Format, Runner, Written
from lifecycle.export.hush import quiet
from lifecycle.export.meaning import onnx_meaning, put_meaning_
from lifecycle.export.settings import RunSettings, WriteSettings

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch.export import ExportedProgram

    from lifecycle.export.network import Network

_PREFIX = "module."  # what `Network` puts before the names of parameters
_DEFAULT = WriteSettings()


def write_onnx(network: Network, path: Path, settings: WriteSettings = _DEFAULT) -> Written:
    """Convert a network to one self-contained file, or two where the weights exceed protobuf's 2 GB.

    Inputs and outputs are called as in the signature, axes with a name are dynamic. The same network
    gives the same bytes, in any process and folder.

    Args:
        network: In evaluation mode.
        path: The file to write.
        settings: The operator set, and when weights go to a file beside it.

    Returns:
        The exporters that were tried, each with the reason.

    Raises:
        LifecycleError: no exporter can convert it; says why of each.
    """
    import onnx

    made = convert(network, settings)
    model = made.model
    if sum(len(tensor.raw_data) for tensor in model.graph.initializer) > settings.external_bytes:
        _save_external(model, path)
        onnx.checker.check_model(str(path), full_check=True)
    else:
        onnx.checker.check_model(model, full_check=True)
        path.write_bytes(model.SerializeToString(deterministic=True))
    return made.written


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A model in memory, and what is known of how it was made.

    Attributes:
        model: As it is written.
        written: The exporters that were tried.
        program: The graph that was translated; None where the older exporter made the model.
        values: The name of the program's node by the name of the model's value that holds the same.
    """

    model: ModelProto
    written: Written
    program: ExportedProgram | None
    values: Mapping[str, str]


def convert(network: Network, settings: WriteSettings = _DEFAULT) -> Conversion:
    """The model that `write_onnx` writes, and how it came to be."""
    from lifecycle.export.fold import fold_quantized_
    from lifecycle.export.graph import compact_
    from lifecycle.export.layer_names import name_layers_

    with quiet():
        model, program, written = _climb(network, settings)
        fold_quantized_(model)
    layers = name_layers_(model, _PREFIX)
    _name_parameters(model)
    names = (name.removeprefix(_PREFIX) for name in (*network.state_dict(), *layers))
    renamed = compact_(model, frozenset(name for name in names if "." in name))
    _name_axes(model, network.signature)
    put_meaning_(model, network.meaning)
    values = {short: name for name, short in renamed.items()}
    return Conversion(model=model, written=written, program=program, values=values)


def open_onnx(path: Path, signature: Signature, settings: RunSettings) -> Runner:
    """Run a file with ONNX Runtime; loads no torch."""
    from lifecycle.export.session import open_session, session_runner

    return session_runner(path, open_session(path, settings), signature)


def open_as_written(path: Path, signature: Signature, settings: RunSettings) -> Runner:
    """Run a file operator by operator, none of them fused or replaced by an integer kernel."""
    from lifecycle.export.session import open_session, session_runner

    return session_runner(path, open_session(path, settings, rewrite=False), signature)


def _climb(network: Network, settings: WriteSettings) -> tuple[ModelProto, ExportedProgram | None, Written]:
    """The first exporter of the ladder that can.

    Non-strict before strict, as PyTorch itself does: it takes half as long or less (ADR-0007).
    """
    from lifecycle.export.integers import holds_integer_weights
    from lifecycle.export.torchscript_exporter import MAX_OPSET, trace_to_onnx

    ladder: list[tuple[str, str, Callable[[], tuple[ModelProto, ExportedProgram | None]]]] = [
        ("non-strict", "torch.export, running forward", partial(_by_dynamo, network, settings, strict=False)),
        ("strict", "torch.export, analysing forward", partial(_by_dynamo, network, settings, strict=True)),
    ]
    if not holds_integer_weights(network):  # it would write them as floats
        lower = replace(settings, opset=min(settings.opset, MAX_OPSET))
        way = f"PyTorch's older exporter, from a trace; opset {lower.opset}"
        ladder.append(("trace", way, lambda: (trace_to_onnx(network, lower.opset), None)))
    failed: list[Attempt] = []
    causes: list[LifecycleError] = []
    for way, reason, make in ladder:
        try:
            model, program = make()
            return model, program, Written(attempts=(*failed, Attempt(way=way, reason=reason)))
        except UsageError:
            raise
        except LifecycleError as error:
            failed.append(Attempt(way=way, reason=error.message))
            causes.append(error)
    reasons = "; ".join(f"{item.way}: {item.reason}" for item in failed)
    raise LifecycleError(
        f"PyTorch's ONNX exporters cannot convert {type(network.module).__name__}: {reasons}",
        hint=causes[0].hint,
    ) from causes[0]


def _by_dynamo(
    network: Network, settings: WriteSettings, *, strict: bool
) -> tuple[ModelProto, ExportedProgram]:
    from lifecycle.export.network import to_program

    return _translated(to_program(network, strict=strict), network, settings)


def _translated(
    program: ExportedProgram, network: Network, settings: WriteSettings
) -> tuple[ModelProto, ExportedProgram]:
    import torch

    from lifecycle.export.blame import blame

    try:
        converted = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=settings.opset,
            input_names=[spec.name for spec in network.signature.inputs],
            output_names=[spec.name for spec in network.signature.outputs],
            external_data=False,
            verbose=False,
        )
    except Exception as error:
        cause = error.__cause__ or error
        raise LifecycleError(
            f"the dynamo exporter cannot translate {type(network.module).__name__}{blame(cause)}",
            hint="The traceback (-v) names the operator; write that part of forward with others.",
        ) from error
    assert converted is not None and converted.exported_program is not None
    return converted.model_proto, converted.exported_program


def _save_external(model: ModelProto, path: Path) -> None:
    import onnx

    data = path.with_name(f"{path.name}{DATA}")
    data.unlink(missing_ok=True)  # onnx appends
    onnx.save(model, path, save_as_external_data=True, location=data.name, size_threshold=1024)


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


ONNX = Format(
    name="onnx",
    filename="model.onnx",
    summary="ONNX, run by ONNX Runtime without PyTorch; what is served",
    write=write_onnx,
    open=open_onnx,
    meaning=onnx_meaning,
    trusted_only=False,
    open_as_written=open_as_written,
)
