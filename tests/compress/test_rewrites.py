from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lifecycle.compress.capture import capture

A = torch.ops.aten


class Mean(nn.Module):
    def __init__(self, axes: tuple[int, ...], keepdim: bool) -> None:
        super().__init__()
        self.axes, self.keepdim = axes, keepdim

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(self.axes, self.keepdim)


@pytest.mark.parametrize("keepdim", [True, False])
@pytest.mark.parametrize(
    ("axes", "pooled"), [((2, 3), True), ((-1, -2), True), ((1, 2), False), ((3,), False)]
)
def test_a_mean_over_the_image_becomes_a_pool_with_the_same_result(
    axes: tuple[int, ...], pooled: bool, keepdim: bool
) -> None:
    module, x = Mean(axes, keepdim), torch.randn(3, 4, 5, 6)
    graph = capture(module, (x,))
    targets = {node.target for node in graph.graph.nodes}
    assert (A.avg_pool2d.default in targets) is pooled
    assert torch.allclose(graph(x), module(x), atol=1e-6)
    assert graph(x).shape == module(x).shape


class InPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        z = F.relu_(y)  # y, which is read again below, has changed
        w = torch.sigmoid(y)
        w += z
        return w


def test_in_place_operations_are_rewritten_with_the_same_result() -> None:
    x = torch.randn(3, 4)
    graph = capture(InPlace(), (x,))
    targets = {node.target for node in graph.graph.nodes}
    assert {A.relu.default, A.add.Tensor} <= targets
    assert not {A.relu_.default, A.add_.Tensor} & targets
    assert torch.equal(graph(x), InPlace()(x))


class Grows(nn.Module):
    """A transposed convolution between two others, with windows that overlap or not."""

    def __init__(self, kernel: int, stride: int, bias: bool = True) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 4, 1), nn.Conv2d(3, 2, 1)
        self.grow = nn.ConvTranspose2d(4, 3, kernel, stride, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.grow(self.first(x)).relu())


@pytest.mark.parametrize(("kernel", "bias", "left"), [(2, True, 0), (3, False, 0), (4, True, 1)])
def test_transposed_convolutions_without_overlap_become_pointwise(kernel: int, bias: bool, left: int) -> None:
    module, x = Grows(kernel, min(kernel, 3), bias), torch.randn(3, 2, 5, 4)
    graph = capture(module, (x,))
    transposed = graph.graph.find_nodes(op="call_function", target=A.conv_transpose2d.input)
    assert len(transposed) == left
    assert torch.allclose(graph(x[:1]), module(x[:1]), atol=1e-5)
    graph(x).square().sum().backward()
    gradient = module.grow.weight.grad.clone()
    module.zero_grad()
    module(x).square().sum().backward()
    assert torch.allclose(gradient, module.grow.weight.grad, rtol=1e-3, atol=1e-3)
