"""Batch normalisation in a quantized graph: part of the weights that are rounded, gone in the file.

A convolution (or linear layer) and the normalisation behind it become one integer operator, whose weight
is the product of both. Training must round that product, and still see batch statistics:

    v = round(w · s),    y = conv(x, v) / s + b,    batch_norm(y),    s = gamma / √(running variance + eps)

(Krishnamoorthi 2018, https://arxiv.org/abs/1806.08342, section 3.2.2). `fuse_batch_norm_` writes a captured
graph in this form, `fold_batch_norm_` ends it: one weight w · s and one bias. torchao has passes for the same
purpose; they take ten seconds and more, because each tries some hundred patterns, and silently replace eps
and the momentum by PyTorch's defaults.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx import GraphModule, Node

from lifecycle.compress.graphs import CONVOLUTIONS, LINEAR, arguments, only_user, tensor_at, tensor_node

TINY = 1e-6  # a channel scaled by less is switched off: its weight is rounded as it is, s = 1


def channel_scale(gamma: Tensor | None, variance: Tensor, eps: float) -> Tensor:
    """What normalisation multiplies each channel by, ``[channels]``."""
    scale = torch.rsqrt(variance + eps)
    return scale if gamma is None else scale * gamma


def scaled_weight(weight: Tensor, gamma: Tensor | None, variance: Tensor, eps: float) -> Tensor:
    """The product w · s, of the shape of `weight`, ``[channels, …]``."""
    return weight * _divisor(gamma, variance, eps).reshape(-1, *[1] * (weight.dim() - 1))


def unscaled_batch_norm(
    y: Tensor,
    bias: Tensor | None,
    gamma: Tensor | None,
    beta: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """Batch normalisation of what the layer would have given with its own weight and bias.

    Args:
        y: What it gave with `scaled_weight` and no bias, ``[batch, channels, …]``.
        bias: The layer's bias.
        gamma: Weight of the normalisation.
        beta: Bias of the normalisation.
        mean: Running mean; follows the batch in training.
        variance: Running variance; follows the batch in training.
        training: Whether to normalise by the batch.
        momentum: Of the running values.
        eps: Added to the variance.
    """
    shape = (1, -1, *[1] * (y.dim() - 2))
    y = y / _divisor(gamma, variance, eps).reshape(shape)
    if bias is not None:
        y = y + bias.reshape(shape)
    return F.batch_norm(y, mean, variance, gamma, beta, training, momentum, eps)


def fuse_batch_norm_(graph: GraphModule) -> None:
    """Write every layer that a batch normalisation follows directly in the form that training rounds.

    Other normalisations become calls that torchao's passes leave alone.
    """
    for norm in graph.graph.find_nodes(op="call_function", target=torch.ops.aten.batch_norm.default):
        layer, gamma, beta, mean, variance, training, momentum, eps, _ = arguments(norm)
        if mean is None or not _fusible(layer, norm):
            _replace(norm, F.batch_norm, (layer, mean, variance, gamma, beta, training, momentum, eps))
            continue
        x, weight, bias, *rest = (*arguments(layer), None)[: max(3, len(layer.args))]
        with graph.graph.inserting_before(layer):
            scaled = graph.graph.call_function(scaled_weight, (weight, gamma, variance, eps))
        scaled.meta["val"] = weight.meta["val"]
        layer.args = (x, scaled, None, *rest)
        given = (layer, bias, gamma, beta, mean, variance, training, momentum, eps)
        _replace(norm, unscaled_batch_norm, given)
    graph.recompile()


def fold_batch_norm_(graph: GraphModule) -> None:
    """Replace every pair of `scaled_weight` and `unscaled_batch_norm` by one weight and one bias."""
    for index, norm in enumerate(graph.graph.find_nodes(op="call_function", target=unscaled_batch_norm)):
        layer, *nodes, _, _, eps = arguments(norm)
        scaled = arguments(layer)[1]
        if scaled.op == "call_module":  # fake quantization stands between
            scaled = scaled.args[0]
        values = [None if node is None else tensor_at(graph, node) for node in nodes]
        weight, bias = folded(tensor_at(graph, scaled.args[0]), *values, eps=eps)
        with graph.graph.inserting_before(scaled):
            scaled.replace_all_uses_with(tensor_node(graph, f"folded_weight_{index}", weight))
        with graph.graph.inserting_before(layer):
            layer.update_arg(2, tensor_node(graph, f"folded_bias_{index}", bias))
        norm.replace_all_uses_with(layer)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def folded(
    weight: Tensor,
    bias: Tensor | None,
    gamma: Tensor | None,
    beta: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    *,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """Weight and bias of the layer that computes layer and normalisation, in evaluation mode."""
    assert mean is not None and variance is not None
    scale = channel_scale(gamma, variance, eps)
    shift = -mean if bias is None else bias - mean
    shift = shift * scale
    return weight * scale.reshape(-1, *[1] * (weight.dim() - 1)), shift if beta is None else shift + beta


def _divisor(gamma: Tensor | None, variance: Tensor, eps: float) -> Tensor:
    scale = channel_scale(gamma, variance, eps)
    return torch.where(scale.abs() < TINY, torch.ones_like(scale), scale)


def _fusible(layer: Node, norm: Node) -> bool:
    if layer.target in LINEAR and layer.meta["val"].dim() != 2:
        return False  # a sequence: its axis 1, which is normalised, is not the layer's output channels
    return layer.target in CONVOLUTIONS | LINEAR and only_user(layer) is norm


def _replace(node: Node, target: Callable[..., object], arguments: tuple[object, ...]) -> None:
    with node.graph.inserting_before(node):
        new = node.graph.call_function(target, arguments)  # type: ignore[arg-type]
    new.meta.update(node.meta)
    node.replace_all_uses_with(new)
    node.graph.erase_node(node)
