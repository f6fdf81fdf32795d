from __future__ import annotations

import pytest
import torch
from torch import nn

from lifecycle.compress.cost import Cost, count_cost


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (nn.Conv2d(6, 8, 3, padding=1, bias=False), (6, 5, 7), 8 * 6 * 9 * 5 * 7),
        (nn.Conv2d(6, 8, 3, stride=2, padding=1), (6, 8, 8), 8 * 6 * 9 * 4 * 4),
        (nn.Conv2d(6, 8, 3, padding=1, groups=2), (6, 4, 4), 8 * 3 * 9 * 4 * 4),
        (nn.Conv2d(6, 6, 3, padding=1, groups=6), (6, 4, 4), 6 * 9 * 4 * 4),
        (nn.Conv1d(4, 8, 5), (4, 12), 8 * 4 * 5 * 8),
        (nn.ConvTranspose2d(4, 6, 2, stride=2), (4, 3, 3), 4 * 6 * 4 * 3 * 3),
        (nn.Linear(5, 3), (5,), 15),
        (nn.Linear(5, 3), (7, 5), 7 * 15),
    ],
)
def test_multiply_accumulates_of_a_layer_are_those_of_its_formula(
    layer: nn.Module, shape: tuple[int, ...], macs: int
) -> None:
    params = sum(parameter.numel() for parameter in layer.parameters())
    assert count_cost(layer, (torch.zeros(3, *shape),)) == Cost(macs=macs, params=params)


def test_counting_leaves_the_module_as_it_was() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout())
    module[1].eval()
    count_cost(module, (torch.rand(4, 1, 8, 8),))
    assert [part.training for part in module.modules()] == [True, True, False, True]
    assert int(module[1].num_batches_tracked) == 0
    assert module[0].weight.grad is None


def test_a_shared_layer_costs_twice_and_is_stored_once() -> None:
    layer = nn.Linear(4, 4, bias=False)
    assert count_cost(nn.Sequential(layer, layer), (torch.zeros(1, 4),)) == Cost(macs=32, params=16)
