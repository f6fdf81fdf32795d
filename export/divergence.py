"""Where an ONNX file begins to differ from its module: the first node whose value is another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, fx

from lifecycle.core.errors import LifecycleError
from lifecycle.core.signature import Array
from lifecycle.export.settings import RunSettings
from lifecycle.export.tolerance import Tolerance

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from lifecycle.export.network import Network
    from lifecycle.export.to_onnx import Conversion


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """A node of a file whose value is not the module's.

    Attributes:
        operator: Of ONNX.
        value: The name of its output in the file.
        source: The operation of PyTorch that it stands for.
        layer: The part of the module that it belongs to.
        error: Largest difference, as a share of the value's range.
    """

    operator: str
    value: str
    source: str
    layer: str
    error: float

    def __str__(self) -> str:
        layer = f" in '{self.layer}'" if self.layer else ""
        return (
            f"the first node that differs is {self.operator} '{self.value}' ({self.source}{layer}), by "
            f"{self.error:.3g} of its range"
        )


class Locator:
    """Knows what each value in the ONNX file of a network stands for: it converts the network once more.

    Conversion is deterministic, so the names are those of the file.

    Args:
        network: What files were made of.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self._made: Conversion | None = None

    def first(self, path: Path, inputs: Mapping[str, Array], tolerance: Tolerance) -> Divergence | None:
        """Compare all values of a file, operator by operator, with those of the module's graph.

        None where it cannot be told: by the older exporter, or in a file whose nodes are others altogether.

        Args:
            path: The file.
            inputs: Data on which they differ.
            tolerance: What is no difference.
        """
        import onnx

        made = self._conversion()
        if made is None or made.program is None:
            return None
        model = onnx.load(path)
        wanted = [name for node in model.graph.node for name in node.output if name in made.values]
        got = _file_values(model, wanted, inputs)
        right = _values(made.program, self.network, inputs)
        for node in model.graph.node:
            for name in node.output:
                source, value = right.get(made.values.get(name, ""), (None, None))
                if name not in got or source is None or value is None:
                    continue
                error = _difference(got[name], value, tolerance)
                if error is not None:
                    return Divergence(
                        operator=node.op_type,
                        value=name,
                        source=str(source.target),
                        layer=_layer(source),
                        error=error,
                    )
        return None

    def _conversion(self) -> Conversion | None:
        from lifecycle.export.network import evaluating
        from lifecycle.export.to_onnx import convert

        if self._made is None:
            try:
                with evaluating(self.network):
                    self._made = convert(self.network)
            except LifecycleError:
                return None
        return self._made


def _values(
    program: ExportedProgram, network: Network, inputs: Mapping[str, Array]
) -> dict[str, tuple[fx.Node, Tensor]]:
    """Run an exported graph; every node with its value, by the node's name."""
    from lifecycle.export.network import threads

    found: dict[str, tuple[fx.Node, Tensor]] = {}

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> object:
            value = super().run_node(n)
            if isinstance(value, Tensor):
                found[n.name] = (n, value)
            return value

    with torch.no_grad(), threads(1):
        Recorder(program.graph_module).run(*_arguments(program, network, inputs))
    return found


def _arguments(program: ExportedProgram, network: Network, inputs: Mapping[str, Array]) -> list[object]:
    """Parameters, buffers and inputs, as the graph's placeholders ask for them."""
    from torch.export.graph_signature import InputKind, TensorArgument

    from lifecycle.export.network import to_tensors

    given = iter(to_tensors(network.signature, inputs))
    known = {**program.state_dict, **program.constants}
    found: list[object] = []
    for item in program.graph_signature.input_specs:
        if item.kind == InputKind.USER_INPUT:
            found.append(next(given) if isinstance(item.arg, TensorArgument) else None)
        else:
            found.append(known[str(item.target)])
    return found


def _file_values(model: object, names: list[str], inputs: Mapping[str, Array]) -> dict[str, Array]:
    """What ONNX Runtime computes for inner values, nothing fused."""
    import onnx

    from lifecycle.export.session import open_session

    assert isinstance(model, onnx.ModelProto)
    open_model = onnx.ModelProto()
    open_model.CopyFrom(model)
    held = {value.name for value in open_model.graph.output}
    inferred = onnx.shape_inference.infer_shapes(open_model)
    types = {value.name: value for value in inferred.graph.value_info}
    for name in names:
        if name not in held and name in types:
            open_model.graph.output.append(types[name])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(open_model, path)
        session = open_session(path, RunSettings(), rewrite=False)
        outputs = [node.name for node in session.get_outputs()]
        return dict(zip(outputs, session.run(None, dict(inputs)), strict=True))


def _difference(got: Array, right: Tensor, tolerance: Tolerance) -> float | None:
    """The largest difference where it is outside the tolerance."""
    expected = right.detach().numpy().astype(np.float64)
    if got.shape != expected.shape:
        return np.inf
    finite = expected[np.isfinite(expected)]
    if finite.size == 0:
        return None
    span = float(finite.max() - finite.min()) or float(np.abs(finite).max()) or 1.0
    with np.errstate(invalid="ignore"):
        apart = np.abs(got.astype(np.float64) - expected) / span
    apart = np.where((got == expected) | (np.isnan(got.astype(np.float64)) & np.isnan(expected)), 0.0, apart)
    apart = np.where(np.isnan(apart), np.inf, apart)
    # A single value may sit on an edge between two steps; one that starts a difference is off on average.
    beyond = apart.max() > tolerance.max_error or apart.mean() > tolerance.mean_error
    return float(apart.max()) if beyond else None


def _layer(node: fx.Node) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    names = [str(way) for way, _ in stack.values()]
    return names[-1].removeprefix("module.").removeprefix("module") if names else ""
