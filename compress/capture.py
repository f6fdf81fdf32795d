"""A module's forward as a graph over the module's own parameters, which still trains and evaluates."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.graph import CodeGen

from lifecycle.compress.attention import attention_as_products_, sequences_as_rows_
from lifecycle.compress.fold import fuse_batch_norm_, unscaled_batch_norm
from lifecycle.compress.graphs import DROPOUTS, arguments
from lifecycle.compress.rewrites import means_as_pools_, transposed_as_shuffled_, without_in_place_
from lifecycle.core.errors import UsageError
from lifecycle.train.modes import mode_of
from lifecycle.train.module import Module

A = torch.ops.aten
COUNTING = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
# Position of the argument that says whether the operator is in training.
TRAINING: dict[object, int] = {
    unscaled_batch_norm: 6,
    torch.nn.functional.batch_norm: 5,
    **dict.fromkeys(DROPOUTS, 2),
}
NORMALIZATIONS = (unscaled_batch_norm, torch.nn.functional.batch_norm)
MODE = "training_mode"
NORM_MODE = "batch_norm_mode"


class UncapturedError(UsageError):
    """Forward has no graph that trains and evaluates as it does."""


class Mode(nn.Module):
    """Tells a graph whether it is in training, which graphs otherwise have forgotten.

    Attributes:
        frozen: 1 to behave as in evaluation whatever the mode, uint8, ``[1]``.
    """

    frozen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frozen", torch.zeros(1, dtype=torch.uint8))

    def forward(self) -> bool:
        """True in training, unless frozen."""
        return self.training and not bool(self.frozen)

    def freeze(self) -> None:
        """Behave as in evaluation from now on."""
        self.frozen.fill_(1)


def capture(module: nn.Module, example: tuple[Tensor, ...]) -> GraphModule:
    """Trace forward in training mode; the graph's parameters and buffers are the module's.

    Args:
        module: Left in the mode it is in.
        example: Inputs of forward, samples along axis 0, whose number stays open; so do the sizes of all axes
            that the module's `signature` names.

    Raises:
        UncapturedError: forward cannot be traced.
    """
    # A batch of one would be taken for a constant.
    inputs = tuple(tensor if len(tensor) > 1 else torch.cat([tensor, tensor]) for tensor in example)
    shapes = tuple(dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for axes in _free_axes(module, inputs))
    dynamic = (shapes,) if _variadic(module) else shapes
    try:
        with mode_of(module, training=True):
            program = torch.export.export(module, inputs, dynamic_shapes=dynamic)
            graph = _plain_graph(program)
    except Exception as error:  # torch.export raises a dozen kinds, and whatever forward itself raises
        raise UncapturedError(
            f"forward of {type(module).__name__} cannot be traced: {_first_line(error)}",
            hint="forward must not branch on values, call .item() or fix the size of the batch or of an axis "
            "that signature() names (see torch.export)",
        ) from error
    without_in_place_(graph)
    means_as_pools_(graph)
    transposed_as_shuffled_(graph)
    attention_as_products_(graph)
    fuse_batch_norm_(graph)
    sequences_as_rows_(graph)
    return graph


def follow_mode_(graph: GraphModule, module: nn.Module) -> None:
    """Let normalisation and dropout obey ``train()`` and ``eval()``; `module` is what was captured."""
    for name in (MODE, NORM_MODE):
        graph.add_module(name, Mode())
    first = next(node for node in graph.graph.nodes if node.op != "placeholder")
    with graph.graph.inserting_before(first):
        modes = {name: graph.graph.call_module(name) for name in (MODE, NORM_MODE)}
    for node in graph.graph.nodes:
        if node.op == "call_function" and node.target in TRAINING:
            _set_training(node, modes[NORM_MODE if node.target in NORMALIZATIONS else MODE])
    for node in graph.graph.find_nodes(op="call_function", target=A.add_.Tensor):
        if arguments(node)[0].target in _counters(module):
            node.update_arg(1, modes[NORM_MODE])
    graph.graph.eliminate_dead_code()
    graph.recompile()


def fix_evaluation_(graph: GraphModule) -> None:
    """The opposite of `follow_mode_`: evaluation for good, counters and dropout gone."""
    for name in (MODE, NORM_MODE):
        for mode in graph.graph.find_nodes(op="call_module", target=name):
            for user in list(mode.users):
                if user.target == A.add_.Tensor:
                    graph.graph.erase_node(user)
                elif user.target in DROPOUTS:
                    user.replace_all_uses_with(arguments(user)[0])
                    graph.graph.erase_node(user)
                else:
                    user.update_arg(TRAINING[user.target], False)
            graph.graph.erase_node(mode)
    graph.recompile()


def _plain_graph(program: torch.export.ExportedProgram) -> GraphModule:
    """The program as a function of tensors that gives what forward gives.

    An exported graph takes and gives flat lists, and packs and unpacks them at every call by a description
    that torch 2.13 cannot copy without a warning. Written into the graph, there is nothing to unpack.
    """
    graph = program.module(check_guards=False)
    assert isinstance(graph, GraphModule)
    output = graph.graph.output_node()
    output.args = (program.call_spec.out_spec.unflatten(arguments(output)[0]),)
    graph.graph.set_codegen(CodeGen())
    graph.recompile()
    return graph


def _free_axes(module: nn.Module, inputs: tuple[Tensor, ...]) -> list[set[int]]:
    """Of each input, the axes whose sizes stay open."""
    declared = module.signature() if isinstance(module, Module) else None
    named: list[set[int]] = []
    if declared is not None and len(declared.inputs) == len(inputs):
        named = [
            {i for i, axis in enumerate(spec.shape) if isinstance(axis, str)} for spec in declared.inputs
        ]
    return [{0, *axes} for axes in named or [set() for _ in inputs]]


def _set_training(node: Node, mode: Node) -> None:
    position = TRAINING[node.target]
    # What a user holds in evaluation mode during training (frozen normalisation) stays so.
    if node.args[position] is True:
        node.update_arg(position, mode)


def _counters(module: nn.Module) -> set[str]:
    parts = module.named_modules()
    return {f"{name}.num_batches_tracked" for name, part in parts if isinstance(part, COUNTING)}


def _variadic(module: nn.Module) -> bool:
    parameters = list(inspect.signature(module.forward).parameters.values())
    return bool(parameters) and parameters[0].kind is inspect.Parameter.VAR_POSITIONAL


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
