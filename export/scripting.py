"""Scripting a network: forward compiled with its branches, between flat inputs and outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from lifecycle.core.errors import LifecycleError
from lifecycle.export.blame import blame
from lifecycle.export.structure import arrange, leaves
from lifecycle.export.tracing import recorded_trace

if TYPE_CHECKING:
    from lifecycle.export.network import Network, Postprocess


class _Added(nn.Module):
    """What `postprocess` adds to forward's outputs, as a network of its own."""

    def __init__(self, postprocess: Postprocess, names: list[str]) -> None:
        super().__init__()
        self.postprocess = postprocess
        self.names = names

    def forward(self, outputs: object) -> tuple[Tensor, ...]:
        found = self.postprocess(outputs)
        return tuple(found[name] for name in self.names)


def script(network: Network) -> torch.jit.ScriptModule:
    """Compile forward, trace `postprocess`, and join them in the order of the signature.

    Raises:
        LifecycleError: TorchScript cannot compile forward; says where.
    """
    name = type(network.module).__name__
    trainer = getattr(network.module, "trainer", None)
    try:
        if trainer is not None:
            setattr(network.module, "trainer", None)  # noqa: B010 (it is no part of the network)
        inner = torch.jit.script(network.module)
        joined = _joined(network, inner)
        return cast("torch.jit.ScriptModule", torch.jit.freeze(joined.eval()))
    except Exception as error:
        raise LifecycleError(f"torch.jit.script cannot compile {name}{blame(error)}") from error
    finally:
        if trainer is not None:
            setattr(network.module, "trainer", trainer)  # noqa: B010


def _joined(network: Network, inner: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    signature = network.signature
    outputs = network.module(*arrange([spec.name for spec in signature.inputs], network.example))
    own = _expressions(outputs, [spec.name for spec in signature.outputs])
    added = [spec.name for spec in signature.outputs if spec.name not in own]
    joined = torch.jit.ScriptModule()
    joined.inner = inner
    lines = [f"    found = self.inner({_call(network)})"]
    if added and network.postprocess is not None:
        joined.added = _traced_postprocess(network.postprocess, added, outputs)
        lines.append("    more = self.added(found)")
    parts = {name: f"found{way}" for name, way in own.items()}
    parts |= {name: f"more[{index}]" for index, name in enumerate(added)}
    values = ", ".join(parts[spec.name] for spec in signature.outputs)
    arguments = ", ".join(f"x{index}" for index in range(len(signature.inputs)))
    lines.append(f"    return ({values},)")
    joined.define("\n".join([f"def forward(self, {arguments}):", *lines]))
    return joined


def _expressions(outputs: object, names: list[str]) -> dict[str, str]:
    """How each of forward's outputs is reached, by its name in the signature."""
    found = [name for name, _ in leaves(outputs, "")]
    if isinstance(outputs, Tensor):
        return {names[0]: ""}
    called = found if isinstance(outputs, dict) else names[: len(found)]
    return {name: _subscripts(way) for name, way in zip(called, found, strict=True)}


def _subscripts(way: str) -> str:
    return "".join(f"[{part}]" if part.isdigit() else f"[{part!r}]" for part in way.split("."))


def _call(network: Network) -> str:
    """Forward's arguments in TorchScript's words."""
    names = [spec.name for spec in network.signature.inputs]
    return ", ".join(map(_words, arrange(names, [f"x{index}" for index in range(len(names))])))


def _words(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_words(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + "".join(f"{_words(item)}, " for item in value) + ")"
    return str(value)


def _traced_postprocess(
    postprocess: Postprocess, names: list[str], outputs: object
) -> torch.jit.ScriptModule:
    added = _Added(postprocess, names)
    with recorded_trace() as doubts:
        traced = torch.jit.trace(added, (outputs,), check_trace=False)  # type: ignore[no-untyped-call]
    if doubts:
        raise LifecycleError(f"postprocess cannot be traced: {doubts[0]}")
    return cast("torch.jit.ScriptModule", traced)
