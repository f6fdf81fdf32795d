"""TorchScript: traced, or scripted where a trace would not do; a quantized network stays INT8 (ADR-0007)."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lifecycle.core.errors import LifecycleError, RefusedError
from lifecycle.core.signature import Array, Signature
from lifecycle.export.archive import names, rewritten
from lifecycle.export.formats import Attempt, Format, Runner, Written
from lifecycle.export.hush import quiet
from lifecycle.export.meaning import RECORD, archive_meaning, record
from lifecycle.export.settings import RunSettings, WriteSettings

if TYPE_CHECKING:
    import torch

    from lifecycle.export.network import Network

_DEFAULT = WriteSettings()
_NUMBERED = re.compile(rb"[./]___torch_mangle_\d+")
_CODE = re.compile(r"/code/.*\.py$")


def write_torchscript(network: Network, path: Path, settings: WriteSettings = _DEFAULT) -> Written:
    """Convert a network to TorchScript that a plain PyTorch can run.

    A float network is traced and frozen; where a trace would follow one of several ways through forward, it
    is scripted. A quantized one is scripted from its exported graph, not frozen: freezing would turn its INT8
    weights into floats. The same network gives the same bytes.

    Args:
        network: In evaluation mode.
        path: The file to write.
        settings: Nothing of them concerns this format.

    Returns:
        Whether it was traced or scripted, and why.

    Raises:
        LifecycleError: the network can be neither traced nor scripted.
        RefusedError: it is quantized in a way that TorchScript cannot hold.
    """
    import torch

    from lifecycle.export.integers import holds_integer_weights
    from lifecycle.export.network import portable

    with quiet(), portable():
        if holds_integer_weights(network):
            script = _scripted_integers(network)
            made = Attempt(way="scripted graph", reason="a quantized network keeps its INT8 weights so")
            written = Written(attempts=(made,))
        else:
            script, written = _traced_or_scripted(network)
        buffer = io.BytesIO()
        torch.jit.save(script, buffer, _extra_files={RECORD: record(network.meaning)})
    path.write_bytes(reproducible(buffer.getvalue()))
    return written


def open_torchscript(path: Path, signature: Signature, settings: RunSettings) -> Runner:
    """Run a file with PyTorch. Only for files of ours: TorchScript is code."""
    import torch

    from lifecycle.export.network import threads as thread_limit
    from lifecycle.export.network import to_tensors

    with quiet():
        script = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]

    def run(arrays: Mapping[str, Array]) -> list[Array]:
        with torch.inference_mode(), thread_limit(settings.num_threads):
            return [output.numpy() for output in script(*to_tensors(signature, arrays))]

    return run


def reproducible(content: bytes) -> bytes:
    """A TorchScript archive without what differs from run to run: source paths, identifiers, class numbers.

    PyTorch numbers classes by how many the process has seen. Networks here are one class, so its number can
    go; in an archive of several, numbers stay.
    """
    if sum(1 for name in names(content) if _CODE.search(name)) == 1:
        return rewritten(content, _without_number, lambda name: _unnumbered(name.encode()).decode())
    return rewritten(content, lambda name, data: data)


def _without_number(name: str, data: bytes) -> bytes:
    # Pickles name classes in lines of text, whose length is written nowhere.
    return _unnumbered(data) if name.endswith((".py", ".pkl")) else data


def _unnumbered(text: bytes) -> bytes:
    return _NUMBERED.sub(b"", text)


def _traced_or_scripted(network: Network) -> tuple[torch.jit.ScriptModule, Written]:
    """Traced, where the trace is all of forward; else scripted.

    Where neither is sure, traced if `torch.export` finds that no branch depends on values.
    """
    from lifecycle.export.network import to_program
    from lifecycle.export.scripting import script

    trace, doubt = _trace(network)
    if not doubt:
        return trace, Written(attempts=(Attempt(way="traced", reason="no branch depends on values"),))
    failed = [Attempt(way="traced", reason=doubt)]
    try:
        return script(network), Written(
            attempts=(*failed, Attempt(way="scripted", reason="a trace would follow one branch"))
        )
    except LifecycleError as error:
        failed.append(Attempt(way="scripted", reason=error.message))
    try:
        to_program(network)
    except LifecycleError as error:
        reasons = "; ".join(f"{item.way}: {item.reason}" for item in failed)
        raise LifecycleError(
            f"TorchScript cannot hold {type(network.module).__name__}: {reasons}",
            hint="Leave torchscript out of export.formats, or write forward with tensor operations only.",
        ) from error
    reason = "torch.export finds no branch on values"
    return trace, Written(attempts=(*failed, Attempt(way="traced", reason=reason)))


def _trace(network: Network) -> tuple[torch.jit.ScriptModule, str]:
    """The frozen trace, and what PyTorch doubts about it."""
    import torch

    from lifecycle.export.blame import blame
    from lifecycle.export.tracing import recorded_trace

    try:
        with recorded_trace() as doubts:
            # Proof runs other sizes than the example's: a trace that fixed an axis does not pass it.
            trace = torch.jit.trace(network, network.example, check_trace=False)  # type: ignore[no-untyped-call]
            frozen = cast("torch.jit.ScriptModule", torch.jit.freeze(trace))
    except Exception as error:
        raise LifecycleError(
            f"torch.jit.trace cannot trace {type(network.module).__name__}{blame(error)}",
            hint="Leave torchscript out of export.formats, or write forward with tensor operations only.",
        ) from error
    return frozen, doubts[0] if doubts else ""


def _scripted_integers(network: Network) -> torch.jit.ScriptModule:
    import torch

    from lifecycle.export.blame import first_line
    from lifecycle.export.integers import plain_graph
    from lifecycle.export.network import to_program

    graph = plain_graph(to_program(network))
    try:
        return torch.jit.script(graph)
    except Exception as error:
        raise RefusedError(
            f"TorchScript cannot hold this quantized network: {first_line(error)}",
            hint="Leave torchscript out of export.formats; ONNX holds it.",
        ) from error


TORCHSCRIPT = Format(
    name="torchscript",
    filename="model.ts",
    summary="TorchScript, run by PyTorch without the module's source",
    write=write_torchscript,
    open=open_torchscript,
    meaning=archive_meaning,
    trusted_only=True,
    notice="PyTorch has deprecated TorchScript; it names pt2 in its place",
)
