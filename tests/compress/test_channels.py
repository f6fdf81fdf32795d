from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn

from lifecycle.compress.channels import prune_channels_, replay_channels
from lifecycle.compress.cost import count_cost
from lifecycle.core.canonical import canonical_json
from lifecycle.core.errors import UsageError
from lifecycle.train.data import tensors
from tests.compress.networks import EXAMPLE, Branches, Depthwise, Residual

IMAGES = torch.randint(0, 17, (9, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("make", [Residual, Depthwise, Branches])
@pytest.mark.parametrize("importance", ["magnitude", "random"])
def test_the_target_is_reached_and_the_outputs_keep_their_shape(
    make: type[nn.Module], importance: str
) -> None:
    torch.manual_seed(0)
    module = make().eval()
    dense = count_cost(module, EXAMPLE)
    edit = prune_channels_(module, EXAMPLE, macs=0.5, importance=importance)
    after = count_cost(module, EXAMPLE)
    assert (edit.before, edit.after) == (dense, after)
    assert 0.35 < after.macs / dense.macs <= 0.5
    assert edit.macs == after.macs / dense.macs and edit.params == after.params / dense.params
    outputs = module(IMAGES)
    scores = outputs["scores"] if isinstance(outputs, dict) else outputs
    assert scores.shape == (9, 10)


def test_channels_stay_multiples_of_eight_where_the_network_allows() -> None:
    module = Residual(32)
    edit = prune_channels_(module, EXAMPLE, macs=0.25)
    assert edit.round_to == 8
    assert all(part.out_channels % 8 == 0 for part in module.modules() if isinstance(part, nn.Conv2d))


def test_a_multiple_that_is_too_coarse_gives_way_and_says_so() -> None:
    module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten(), nn.Linear(8, 2))
    edit = prune_channels_(module, (torch.zeros(2, 1, 3, 3),), macs=0.5, round_to=8)
    assert (edit.round_to, module[0].out_channels) == (4, 4)


@pytest.mark.parametrize("make", [Residual, Depthwise, Branches])
def test_a_replayed_module_gives_the_same_outputs_to_the_bit(make: type[nn.Module]) -> None:
    torch.manual_seed(0)
    module = make().eval()
    edit = prune_channels_(module, EXAMPLE, macs=0.4)
    fresh = make().eval()
    replay_channels(fresh, EXAMPLE, json.loads(canonical_json(edit.to_json())))
    fresh.load_state_dict(module.state_dict())
    for got, wanted in zip(tensors(fresh(IMAGES)), tensors(module(IMAGES)), strict=True):
        assert torch.equal(got, wanted)


def test_equal_input_gives_an_equal_edit_and_leaves_the_random_state_alone() -> None:
    edits = []
    for _ in range(2):
        torch.manual_seed(0)
        module = Residual()
        state = torch.get_rng_state()
        edits.append(
            canonical_json(prune_channels_(module, EXAMPLE, macs=0.3, importance="random").to_json())
        )
        assert torch.equal(torch.get_rng_state(), state)
    assert edits[0] == edits[1]
    other = prune_channels_(Residual(), EXAMPLE, macs=0.3, importance="random", seed=1)
    assert canonical_json(other.to_json()) != edits[0]


def test_the_mode_of_every_part_and_running_statistics_are_kept() -> None:
    module = Residual()
    module.stem.eval()
    prune_channels_(module, EXAMPLE, macs=0.5)
    assert module.training and module.blocks.training and not module.stem[1].training
    assert int(module.blocks[0].bn1.num_batches_tracked) == 0


def test_layers_to_ignore_keep_their_channels() -> None:
    module = Residual()
    edit = prune_channels_(module, EXAMPLE, macs=0.6, ignore=["blocks.1"])
    assert module.blocks[1].conv1.out_channels == module.blocks[1].conv2.out_channels == 32
    assert "blocks.1.conv2" in edit.ignored and "head" in edit.ignored


@pytest.mark.parametrize("macs", [0, 1, 1.5, -0.1])
def test_a_target_that_is_no_fraction_is_refused(macs: float) -> None:
    with pytest.raises(UsageError, match="expected a fraction between 0 and 1"):
        prune_channels_(Residual(), EXAMPLE, macs=macs)


def test_an_impossible_target_leaves_the_module_untouched() -> None:
    module = Residual()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(UsageError, match="least possible is"):
        prune_channels_(module, EXAMPLE, macs=0.001)
    after = module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


class FixedSize(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 3)
        self.head = nn.Linear(16 * 36, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x.float()).reshape(-1, 16 * 36))


def test_a_size_written_into_forward_is_explained() -> None:
    module = FixedSize()
    with pytest.raises(
        UsageError, match=r"forward of FixedSize fails once channels are removed: .*\n.*flatten"
    ):
        prune_channels_(module, EXAMPLE, macs=0.5)
    assert module.conv.out_channels == 16


def test_the_edit_is_plain_json() -> None:
    edit = prune_channels_(Residual(), EXAMPLE, macs=0.5).to_json()
    assert json.loads(canonical_json(edit)) == edit
    fresh = Residual()
    replay_channels(fresh, EXAMPLE, edit)
    assert count_cost(fresh, EXAMPLE).macs == edit["after"]["macs"]
