from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn
from torch_pruning.dependency import Group

from lifecycle.compress.channels import prune_channels_, replay_channels
from lifecycle.compress.cost import count_cost
from lifecycle.compress.quantizer import prepare_quantization_
from lifecycle.core.canonical import canonical_json
from lifecycle.core.errors import UsageError
from lifecycle.train.data import tensors
from tests.compress.architectures import IMAGE, NETWORKS, FusedAttention, SeparateAttention, ViT
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


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("target", [{"macs": 0.4}, {"params": 0.4}, {"channels": 0.5}])
def test_every_family_reaches_every_target_and_is_rebuilt_to_the_bit(
    name: str, target: dict[str, float]
) -> None:
    torch.manual_seed(0)
    module = NETWORKS[name]().eval()
    edit = prune_channels_(module, IMAGE, **target, scope="local" if "channels" in target else "global")
    assert 0.7 * edit.target.value < edit.achieved <= edit.target.value
    fresh = NETWORKS[name]().eval()
    replay_channels(fresh, IMAGE, json.loads(canonical_json(edit.to_json())))
    fresh.load_state_dict(module.state_dict())
    images = torch.rand(5, 1, 8, 8)
    assert torch.equal(fresh(images), module(images))
    assert count_cost(fresh, IMAGE) == edit.after


@pytest.mark.parametrize("attention", [FusedAttention, SeparateAttention])
def test_attention_loses_whole_heads_and_the_others_see_nothing_of_it(attention: type[nn.Module]) -> None:
    torch.manual_seed(0)
    module = ViT(attention=attention).eval()
    silent = ViT(attention=attention).eval()
    silent.load_state_dict(module.state_dict())
    layer = "qkv" if attention is FusedAttention else "v"
    weak = 8 * 2  # the third of four heads
    for each in (module, silent):
        block = each.blocks[0].attn
        projection = block.proj if attention is FusedAttention else block.out
        with torch.no_grad():
            projection.weight[:, weak : weak + 8] = 0
    keep = [name for name, part in module.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    pruned_layer = f"blocks.0.attn.{layer}"
    others = [n for n in keep if n not in ("blocks.0.attn.q", "blocks.0.attn.k", pruned_layer)]
    edit = prune_channels_(module, IMAGE, channels=0.75, ignore=others, importance=by_last_layer)
    assert [name for name, _, _ in edit.history] == [pruned_layer]
    images = torch.rand(3, 1, 8, 8)
    torch.testing.assert_close(module(images), silent(images))
    heads = module.blocks[0].attn
    assert getattr(heads, "num_heads", None) == 3 or heads.n_heads == 3


def by_last_layer(group: Group) -> Tensor:
    """Norms of what reads the group's channels: here, the projection behind the heads."""
    reading = [
        (item.dep.target.module, item.root_idxs)
        for item in group
        if item.dep.handler.__name__ == "prune_in_channels" and isinstance(item.dep.target.module, nn.Linear)
    ]
    scores = torch.zeros(len(group[0].idxs))
    for linear, root in reading:
        scores.index_add_(0, torch.tensor(root), linear.weight.detach().abs().sum(0))
    return scores


def test_a_latency_is_reached_by_what_is_passed_in() -> None:
    module = Residual()
    asked: list[int] = []

    def latency(pruned: nn.Module) -> float:
        asked.append(count_cost(pruned, EXAMPLE).macs)
        return asked[-1] / 1e5

    start = count_cost(module, EXAMPLE).macs / 1e5
    edit = prune_channels_(module, EXAMPLE, latency_ms=start / 2, latency=latency)
    assert edit.achieved == edit.after.macs / 1e5 <= start / 2
    assert "achieved" not in edit.to_json()  # the clock's word does not belong into a recipe
    with pytest.raises(UsageError, match="is within 1000 ms already"):
        prune_channels_(Residual(), EXAMPLE, latency_ms=1000, latency=latency)
    with pytest.raises(UsageError, match="latency_ms: pass latency, a function"):
        prune_channels_(Residual(), EXAMPLE, latency_ms=1)


def test_exactly_one_target_is_asked_for() -> None:
    with pytest.raises(
        UsageError, match="expected one target of macs, params, channels, latency_ms; got none"
    ):
        prune_channels_(Residual(), EXAMPLE)
    with pytest.raises(UsageError, match="got macs, params"):
        prune_channels_(Residual(), EXAMPLE, macs=0.5, params=0.5)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bright, self.dark = nn.Conv2d(1, 16, 3), nn.Linear(16, 10), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv(x.float()).mean((2, 3))
        if features.sum() > 1e6:
            return self.bright(features)
        return self.dark(features)


def test_a_forward_that_branches_on_data_is_refused_with_the_place() -> None:
    module = Branching()
    with pytest.raises(
        UsageError, match=r"branches on data at .*test_channels.py:\d+, and the example does not reach bright"
    ):
        prune_channels_(module, EXAMPLE, macs=0.5)
    assert module.conv.out_channels == 16


class Checking(Residual):
    def forward(self, x: Tensor) -> Tensor:
        assert x.min() >= 0
        return super().forward(x)


def test_a_forward_that_checks_its_input_is_pruned() -> None:
    assert prune_channels_(Checking(), EXAMPLE, macs=0.5).macs <= 0.5


def test_pruning_after_quantization_was_prepared_is_refused_with_the_right_order() -> None:
    module = Residual()
    edit = prune_channels_(module, EXAMPLE, macs=0.5).to_json()
    prepared = Residual()
    prepare_quantization_(prepared, EXAMPLE, method="qat")
    with pytest.raises(UsageError, match="prune first, then quantize"):
        prune_channels_(prepared, EXAMPLE, macs=0.5)
    with pytest.raises(UsageError, match="the order is prune, then quantize"):
        replay_channels(prepared, EXAMPLE, edit)
