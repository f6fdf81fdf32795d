"""TorchScript: traced and frozen; a quantized network keeps its INT8 weights or is refused (ADR-0004)."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lifecycle.core.errors import LifecycleError, RefusedError
from lifecycle.core.signature import Array, Signature
from lifecycle.export.formats import Format, Runner

if TYPE_CHECKING:
    import torch

    from lifecycle.export.network import Network

_NUMBERED = re.compile(rb"[./]___torch_mangle_\d+")
_UNNEEDED = re.compile(r"\.debug_pkl$|/traced_inputs|/\.data/serialization_id$")
_CODE = re.compile(r"/code/.*\.py$")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first day that a zip can tell


def write_torchscript(network: Network, path: Path) -> None:
    """Convert a network to TorchScript that a plain PyTorch can run.

    A float network is traced and frozen. A quantized one is scripted from its exported graph, not frozen:
    freezing would turn its INT8 weights into floats. The same network gives the same bytes.

    Args:
        network: In evaluation mode.
        path: The file to write.

    Raises:
        LifecycleError: the network cannot be traced.
        RefusedError: it is quantized in a way that TorchScript cannot hold.
    """
    import torch

    from lifecycle.export.integers import holds_integer_weights

    with _deprecations_scoped():
        script = _scripted(network) if holds_integer_weights(network) else _traced(network)
        buffer = io.BytesIO()
        torch.jit.save(script, buffer)
    path.write_bytes(reproducible(buffer.getvalue()))


def open_torchscript(path: Path, signature: Signature, threads: int) -> Runner:
    """Run a file with PyTorch. Only for files of ours: TorchScript is code."""
    import torch

    from lifecycle.export.network import threads as thread_limit
    from lifecycle.export.network import to_tensors

    with _deprecations_scoped():
        script = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]

    def run(arrays: Mapping[str, Array]) -> list[Array]:
        with torch.inference_mode(), thread_limit(threads):
            return [output.numpy() for output in script(*to_tensors(signature, arrays))]

    return run


def reproducible(content: bytes) -> bytes:
    """A TorchScript archive without what differs from run to run: source paths, identifiers, class numbers.

    PyTorch numbers classes by how many the process has seen. Networks here are one class, so its number can
    go; in an archive of several, numbers stay.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        names = [name for name in source.namelist() if not _UNNEEDED.search(name)]
        records = {name: source.read(name) for name in names}
    if sum(1 for name in records if _CODE.search(name)) == 1:
        records = {
            _unnumbered(name.encode()).decode(): _without_number(name, data) for name, data in records.items()
        }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as target:
        for name, data in records.items():
            target.writestr(zipfile.ZipInfo(name, _EPOCH), data)
    return buffer.getvalue()


def _without_number(name: str, data: bytes) -> bytes:
    # Pickles name classes in lines of text, whose length is written nowhere.
    return _unnumbered(data) if name.endswith((".py", ".pkl")) else data


def _unnumbered(text: bytes) -> bytes:
    return _NUMBERED.sub(b"", text)


def _traced(network: Network) -> torch.jit.ScriptModule:
    import torch

    from lifecycle.export.network import first_line

    try:
        # Proof runs other batches than the example's: a trace that fixed an axis does not pass it.
        trace = torch.jit.trace(network, network.example, check_trace=False)  # type: ignore[no-untyped-call]
        return cast("torch.jit.ScriptModule", torch.jit.freeze(trace))
    except Exception as error:
        raise LifecycleError(
            f"torch.jit.trace cannot trace {type(network.module).__name__}: {first_line(error)}",
            hint="Leave torchscript out of export.formats, or write forward with tensor operations only.",
        ) from error


def _scripted(network: Network) -> torch.jit.ScriptModule:
    import torch

    from lifecycle.export.integers import plain_graph
    from lifecycle.export.network import first_line, to_program

    graph = plain_graph(to_program(network))
    try:
        return torch.jit.script(graph)
    except Exception as error:
        raise RefusedError(
            f"TorchScript cannot hold this quantized network: {first_line(error)}",
            hint="Leave torchscript out of export.formats; ONNX holds it.",
        ) from error


@contextmanager
def _deprecations_scoped() -> Iterator[None]:
    """TorchScript is deprecated as a whole: that is ours to know, not a line for every call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


TORCHSCRIPT = Format(name="torchscript", filename="model.ts", write=write_torchscript, open=open_torchscript)
