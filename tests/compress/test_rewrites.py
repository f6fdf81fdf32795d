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
