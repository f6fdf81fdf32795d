"""pt2: ``torch.export``'s archive, which a plain PyTorch loads without the module's source."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.core.signature import Array, Signature
from lifecycle.export.archive import rewritten
from lifecycle.export.formats import Attempt, Format, Runner, Written
from lifecycle.export.hush import quiet
from lifecycle.export.meaning import RECORD, archive_meaning, record
from lifecycle.export.settings import RunSettings, WriteSettings

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from lifecycle.export.network import Network

_DEFAULT = WriteSettings()
# Where in the user's source an operator comes from: folders of this machine, and nothing that computes.
_TRACES = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node")


def write_pt2(network: Network, path: Path, settings: WriteSettings = _DEFAULT) -> Written:
    """Convert a network to an archive of ``torch.export``.

    A quantized network is written in operators of plain PyTorch (`plain_graph`), its weights as INT8. The
    same network gives the same bytes; the inputs that it was traced with are not in them.

    Args:
        network: In evaluation mode.
        path: The file to write.
        settings: Nothing of them concerns this format.

    Raises:
        LifecycleError: the network cannot be traced.
        RefusedError: it is quantized in a way that plain operators do not express.
    """
    import torch

    with quiet():
        program, written = _program(network)
        program.example_inputs = None
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files={RECORD: record(network.meaning)})
    path.write_bytes(_reproducible(buffer.getvalue()))
    return written


def open_pt2(path: Path, signature: Signature, settings: RunSettings) -> Runner:
    """Run a file with PyTorch."""
    import torch

    from lifecycle.export.network import threads as thread_limit
    from lifecycle.export.network import to_tensors

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.export.load(path).module()

    def run(arrays: Mapping[str, Array]) -> list[Array]:
        with torch.inference_mode(), thread_limit(settings.num_threads):
            return [output.numpy() for output in module(*to_tensors(signature, arrays))]

    return run


def _program(network: Network) -> tuple[ExportedProgram, Written]:
    from lifecycle.export.integers import holds_integer_weights, plain_graph
    from lifecycle.export.network import to_program, traced_again

    failed: list[Attempt] = []
    for way, strict in (("non-strict", False), ("strict", True)):
        try:
            program = to_program(network, strict=strict)
        except UsageError:
            raise
        except LifecycleError as error:
            failed.append(Attempt(way=way, reason=error.message))
            hint = error.hint
            continue
        if holds_integer_weights(network):
            program = traced_again(plain_graph(program, fused=False), network)
        reason = f"torch.export, {'analysing' if strict else 'running'} forward"
        return program, Written(attempts=(*failed, Attempt(way=way, reason=reason)))
    reasons = "; ".join(f"{item.way}: {item.reason}" for item in failed)
    raise LifecycleError(f"pt2 cannot hold {type(network.module).__name__}: {reasons}", hint=hint)


def _reproducible(content: bytes) -> bytes:
    def change(name: str, data: bytes) -> bytes:
        return _without_traces(data) if name.endswith("/models/model.json") else data

    return rewritten(content, change)


def _without_traces(data: bytes) -> bytes:
    program = json.loads(data)
    for node in program["graph_module"]["graph"]["nodes"]:
        metadata = cast("dict[str, str]", node["metadata"])
        for name in _TRACES:
            metadata.pop(name, None)
    return json.dumps(program, separators=(",", ":")).encode()


PT2 = Format(
    name="pt2",
    filename="model.pt2",
    summary="torch.export's archive, run by PyTorch without the module's source",
    write=write_pt2,
    open=open_pt2,
    meaning=archive_meaning,
    trusted_only=True,
)
