from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch_pruning.dependency import Group

from lifecycle.compress.channels import prune_channels_
from lifecycle.compress.importance import IMPORTANCE, importance_named
from lifecycle.compress.options import ImportanceName
from lifecycle.core.errors import UsageError
from tests.compress.architectures import IMAGE, CifarResNet, ViT


@pytest.mark.parametrize("name", ["magnitude", "magnitude_l1", "lamp"])
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


def losses(module: nn.Module) -> Iterator[Tensor]:
    images = torch.rand(32, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    for batch in images.split(8):
        yield module(batch).square().mean()


@pytest.mark.parametrize("name", ["taylor", "hessian", "activation"])
def test_channels_that_data_never_uses_go_first(name: str) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    with torch.no_grad():
        module[0].weight.abs_()
        module[0].bias[::2] = -100  # never above zero: relu lets nothing through
        module[0].weight[::2] *= 10  # though by magnitude these would stay
    used = module[0].weight[1::2].clone()
    edit = prune_channels_(
        module, (torch.zeros(2, 1, 3, 3),), channels=0.5, importance=name, round_to=1, losses=losses
    )
    assert torch.equal(module[0].weight, used) and edit.achieved == 0.5


def test_normalisation_factors_decide_where_they_are_asked() -> None:
    module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    with torch.no_grad():
        module[1].weight[[0, 3, 5]] = 0.01
        module[1].bias.copy_(torch.arange(8.0))
    prune_channels_(module, (torch.zeros(2, 1, 3, 3),), channels=0.7, importance="bn_scale", round_to=1)
    assert module[1].bias.tolist() == [1, 2, 4, 6, 7]


def test_factors_that_were_never_trained_do_not_all_go_at_once() -> None:
    module = CifarResNet()
    edit = prune_channels_(module, IMAGE, macs=0.5, importance="bn_scale", round_to=1)
    assert 0.4 < edit.macs <= 0.5


def test_a_function_of_the_users_decides() -> None:
    def last_first(group: Group) -> Tensor:
        return -torch.arange(len(group[0].idxs), dtype=torch.float32)

    module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten(), nn.Linear(8, 2))
    first = module[0].weight[:4].clone()
    edit = prune_channels_(
        module, (torch.zeros(2, 1, 3, 3),), channels=0.5, importance=last_first, round_to=1
    )
    assert torch.equal(module[0].weight, first)
    assert edit.importance.startswith("function ") and edit.importance.endswith("last_first")


def test_a_criterion_that_looks_at_data_wants_some() -> None:
    module, example = (
        nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten(), nn.Linear(8, 2)),
        (torch.zeros(2, 1, 3, 3),),
    )
    with pytest.raises(UsageError, match="importance 'taylor' looks at gradients: pass losses"):
        prune_channels_(module, example, macs=0.5, importance="taylor")
    with pytest.raises(UsageError, match="there is no batch to rank channels with"):
        prune_channels_(module, example, macs=0.5, importance="taylor", losses=lambda module: [])
    with pytest.raises(UsageError, match=r"the loss of batch 0 is nan.*\n.*NaNs in the data"):
        prune_channels_(
            module,
            example,
            macs=0.5,
            importance="hessian",
            losses=lambda m: [m(example[0]).sum() * torch.nan],
        )


def test_a_criterion_that_scores_nothing_says_what_it_needs() -> None:
    with pytest.raises(
        UsageError, match=r"'bn_scale' finds no channels of ViT that may go\nbn_scale needs batch"
    ):
        prune_channels_(ViT(), IMAGE, macs=0.5, importance="bn_scale")


def test_a_pipeline_file_knows_every_criterion() -> None:
    assert set(get_args(ImportanceName)) == set(IMPORTANCE)
