"""INT8 quantization, static and quantization-aware: forward's place is taken by a graph that rounds.

A prepared module is the same object with the same parameters, so its steps and its optimizer go on
working; only `forward` is now answered by the graph ``module.quantized``. It is calibrated
(`lifecycle.compress.calibration`), trained on if wanted, and `convert_quantized` gives the integer network
to export.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from lifecycle.compress.capture import UncapturedError, capture, fix_evaluation_, follow_mode_
from lifecycle.compress.fold import fold_batch_norm_
from lifecycle.compress.kept import kept_modules
from lifecycle.compress.modes import copied
from lifecycle.compress.processor import Integers, integers_for
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.data import tensors
from lifecycle.train.modes import mode_of

Method = Literal["static", "qat"]
CHILD = "quantized"  # the name under which a module holds its graph
METHOD = "lifecycle.method"  # the key in the graph's meta
AGREEMENT = 1e-3  # of the outputs' range: float rounding of a deep network stays far below


@dataclass(frozen=True, kw_only=True)
class QuantizeEdit:
    """How a module was prepared.

    Attributes:
        method: ``static`` (ranges from calibration) or ``qat`` (rounding in training).
        integers: What is computed with.
        keep_float: Names or patterns of modules whose layers stay in float.
    """

    method: Method
    integers: Integers = field(default_factory=Integers)
    keep_float: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JSON]:
        """The recipe's record."""
        return {
            "edit": "quantize",
            "method": self.method,
            **self.integers.to_json(),
            "keep_float": list(self.keep_float),
        }


def prepare_quantization_(
    module: nn.Module,
    example: tuple[Tensor, ...],
    *,
    method: Method,
    integers: Integers | None = None,
    keep_float: Sequence[str] = (),
) -> QuantizeEdit:
    """Let `module` round weights and activations to eight bits, in place; then calibrate it.

    Forward is traced by ``torch.export``, a fake quantizer is put on every tensor that ONNX Runtime takes
    as integers (weights int8 and symmetric with a scale for each channel, activations with one), and
    the graph takes forward's place. It is registered as the child ``quantized`` and shares every parameter
    and buffer with the module, so an optimizer made before or after trains the right weights. ``train()``
    and ``eval()`` work as before. Until calibration, nothing is rounded.

    Args:
        module: A trained module, perhaps pruned.
        example: Inputs of forward, samples along axis 0.
        method: ``static`` or ``qat``.
        integers: What to round to; by default what this processor is fastest with.
        keep_float: Names or glob patterns of modules whose layers stay in float.

    Raises:
        UncapturedError: forward cannot be traced, or computes something else in the graph (it depends on
            ``self.training`` beyond dropout and batch normalisation).
        UsageError: forward holds nothing to quantize, a pattern matches no module; the module is prepared
            already or has an attribute of that name; the method is unknown.
    """
    if method not in get_args(Method):
        raise UsageError(f"no quantization method is called '{method}': {suggest(method, get_args(Method))}")
    if is_quantized(module):
        raise UsageError("the module is prepared for quantization already")
    if hasattr(module, CHILD):
        raise UsageError(f"{type(module).__name__} has an attribute '{CHILD}' of its own: rename it")
    edit = QuantizeEdit(method=method, integers=integers or integers_for(), keep_float=tuple(keep_float))
    kept = kept_modules(module, keep_float)
    from lifecycle.compress import pt2e

    graph = pt2e.insert_fake_quantize(capture(module, example), edit.integers, kept)
    follow_mode_(graph, module)
    graph.meta[METHOD] = method
    pt2e.set_flags(graph, observe=False, rounding=False)
    _check_same(module, graph, example)
    _take_place(module, graph)
    return edit


def replay_quantize(module: nn.Module, example: tuple[Tensor, ...], edit: Mapping[str, JSON]) -> None:
    """Prepare a freshly built module as an edit says, ready for the saved state, in place.

    Args:
        module: Of the class that was prepared, earlier edits replayed.
        example: Inputs of forward.
        edit: `QuantizeEdit.to_json`, perhaps read back from a file.

    Raises:
        UsageError: as `prepare_quantization_`.
    """
    prepare_quantization_(
        module,
        example,
        method=cast("Method", edit["method"]),
        integers=Integers.from_json(edit),
        keep_float=cast("Sequence[str]", edit.get("keep_float", ())),
    )


def convert_quantized(module: nn.Module) -> nn.Module:
    """The integer network: int8 weights, quantize and dequantize operators, batch normalisation folded.

    Takes and gives what forward does, in evaluation mode. `module` is untouched and shares no tensor with
    it. ``torch.onnx.export(..., dynamo=True)`` writes it as QDQ operators; `lifecycle.export` also knows how
    to write it as TorchScript.

    Raises:
        UsageError: the module is not prepared, or has seen no data.
    """
    graph = quantized_graph(module)
    from lifecycle.compress import pt2e

    for name, quantizer in pt2e.fake_quantizers(graph):
        if not quantizer.observed:
            raise UsageError(
                f"the module cannot be converted: '{name}' has seen no data",
                hint="run calibrate_(module, batches) first",
            )
    integers = copied(graph)
    fix_evaluation_(integers)
    fold_batch_norm_(integers)
    return pt2e.convert_to_integers(integers)


def is_quantized(module: nn.Module) -> bool:
    """Whether `module` is prepared for quantization."""
    child = getattr(module, CHILD, None)
    return isinstance(child, GraphModule) and METHOD in child.meta


def quantized_graph(module: nn.Module) -> GraphModule:
    """The graph that answers for forward.

    Raises:
        UsageError: the module is not prepared.
    """
    if not is_quantized(module):
        raise UsageError(
            f"{type(module).__name__} is not prepared for quantization",
            hint="run prepare_quantization_(module, example, method=...) first",
        )
    return cast("GraphModule", getattr(module, CHILD))


def _answer(self: nn.Module, *args: object) -> object:
    """What forward is while the graph is there; a method, so that a copy of the module runs its own graph."""
    return quantized_graph(self)(*args)


def _take_place(module: nn.Module, graph: GraphModule) -> None:
    # Over the module's own submodules, not tensors beside them: what is moved or replaced there (a running
    # mean that goes to another device) is moved for the graph as well.
    for name, child in module.named_children():
        if hasattr(graph, name):
            setattr(graph, name, child)
    graph.train(module.training)
    module.add_module(CHILD, graph)
    module.forward = types.MethodType(_answer, module)


def _check_same(module: nn.Module, graph: GraphModule, example: tuple[Tensor, ...]) -> None:
    with mode_of(module, training=False), mode_of(graph, training=False), torch.no_grad():
        outputs, found = list(tensors(module(*example))), list(tensors(graph(*example)))
        if [tensor.shape for tensor in outputs] != [tensor.shape for tensor in found]:
            raise UncapturedError(
                f"forward of {type(module).__name__} gives {len(found)} outputs in training and "
                f"{len(outputs)} in evaluation, or others in shape"
            )
        for wanted, got in zip(outputs, found, strict=True):
            span = float(wanted.float().abs().max())
            apart = float((wanted.float() - got.float()).abs().max())
            if not apart <= AGREEMENT * max(span, 1e-6):
                raise UncapturedError(
                    f"the traced graph of {type(module).__name__} computes something else: "
                    f"in evaluation mode its output is {apart:.3g} apart, of {span:.3g}",
                    hint="forward may depend on self.training only through dropout and batch normalisation",
                )
