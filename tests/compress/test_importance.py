from __future__ import annotations

import pytest
import torch
from torch import nn

from lifecycle.compress.channels import prune_channels_
from lifecycle.compress.importance import IMPORTANCE, importance_named
from lifecycle.core.errors import UsageError


@pytest.mark.parametrize("name", ["magnitude", "lamp"])
def test_the_weakest_channels_go_first(name: str) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 8, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    strong = torch.tensor([1, 4, 6])
    with torch.no_grad():
        module[0].weight[strong] *= 100
    kept = module[0].weight[strong].clone()
    prune_channels_(module, (torch.zeros(2, 1, 3, 3),), macs=0.38, importance=name, round_to=1)
    assert torch.equal(module[0].weight, kept)


def test_of_two_equal_filters_fpgm_removes_one() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        module[2].weight.fill_(1)
        module[0].weight[:3] = module[0].weight[0]
        module[0].weight[3] *= 3
    last = module[0].weight[3].clone()
    prune_channels_(module, (torch.zeros(2, 1, 3, 3),), macs=0.5, importance="fpgm", round_to=1)
    assert any(torch.equal(row, last) for row in module[0].weight)


def test_an_unknown_criterion_is_named_with_the_closest() -> None:
    with pytest.raises(UsageError, match="no importance is called 'magnitud': did you mean 'magnitude'"):
        importance_named("magnitud")
    assert set(IMPORTANCE) == {"magnitude", "lamp", "fpgm", "random"}
