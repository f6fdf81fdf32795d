from __future__ import annotations

import pytest
import torch
from torch import nn

from lifecycle.compress.sensitivity import prune_sensitivity, quantize_sensitivity
from lifecycle.core.errors import UsageError
from tests.compress.architectures import IMAGE, NETWORKS
from tests.compress.networks import EXAMPLE, Residual, digits, errors, fit

TRAIN, TEST = digits()


@pytest.fixture(scope="module")
def trained() -> Residual:
    torch.manual_seed(0)
    module = Residual(8)
    fit(module, TRAIN, epochs=4, lr=0.02)
    return module


def accuracy(module: nn.Module) -> float:
    return 1 - errors(module, TEST) / len(TEST[0])


def test_each_group_is_pruned_alone_and_the_most_harmful_stands_first(trained: Residual) -> None:
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    effects = prune_sensitivity(trained, EXAMPLE, accuracy)
    drops = [effect.drop for effect in effects]
    assert drops == sorted(drops, reverse=True) and drops[0] > 0.02
    assert {effect.layer for effect in effects} >= {"blocks.0.conv1", "blocks.1.conv1"}
    assert "head" not in {effect.layer for effect in effects}, "it makes the output"
    assert all(0.3 < effect.macs < 1 for effect in effects)
    assert all(effect.drop == pytest.approx(accuracy(trained) - effect.metric) for effect in effects)
    after = trained.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_layer_whose_channels_do_nothing_costs_nothing(trained: Residual) -> None:
    module = Residual(8)
    module.load_state_dict(trained.state_dict())
    with torch.no_grad():
        module.blocks[0].conv2.weight.zero_()
        module.blocks[0].bn2.running_mean.zero_()
    effects = {effect.layer: effect.drop for effect in prune_sensitivity(module, EXAMPLE, accuracy)}
    assert effects["blocks.0.conv1"] == 0


def test_rounding_one_layer_of_a_trained_network_costs_little(trained: Residual) -> None:
    effects = quantize_sensitivity(trained, accuracy)
    layers = [name for name, part in trained.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    assert sorted(effect.layer for effect in effects) == sorted(layers)
    assert max(effect.drop for effect in effects) < 0.02


def test_a_layer_with_an_outlier_among_its_inputs_is_found() -> None:
    module = nn.Sequential(nn.Linear(2, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[0.0, 1.0]]))
        module[2].weight.fill_(1.0)
    inputs = torch.stack([torch.full((64,), 1000.0), torch.linspace(0, 1, 64)], 1)

    def distance(changed: nn.Module) -> float:
        with torch.no_grad():
            return float((changed(inputs)[:, 0] - inputs[:, 1]).abs().mean())

    first, second = quantize_sensitivity(module, distance, mode="min")
    assert (first.layer, second.layer) == ("0", "2") and first.drop > 0.4 > 0.01 > second.drop


@pytest.mark.parametrize("name", ["mobilenet", "vit", "unet"])
def test_other_families_are_looked_at_too(name: str) -> None:
    module = NETWORKS[name]().eval()
    with torch.no_grad():
        wanted = module(torch.ones_like(IMAGE[0]))

    def distance(changed: nn.Module) -> float:
        with torch.no_grad():
            return float((changed.eval()(torch.ones_like(IMAGE[0])) - wanted).abs().mean())

    assert prune_sensitivity(module, IMAGE, distance, mode="min")[0].drop > 0
    assert quantize_sensitivity(module, distance, mode="min")[0].drop > 0


def test_a_part_that_is_no_fraction_is_refused() -> None:
    with pytest.raises(
        UsageError, match="keep: expected a fraction between 0 and 1 of a layer's channels, got 2"
    ):
        prune_sensitivity(Residual(), EXAMPLE, accuracy, keep=2)
