from __future__ import annotations

import torch
from torch import Tensor, nn

from lifecycle.compress.calibration import calibrate_
from lifecycle.compress.harm import layers_by_harm
from lifecycle.compress.quantizer import prepare_quantization_

X = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))


class Chain(nn.Module):
    """Three layers; the second has one input a thousand times as large as the others, so rounding blinds it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.third = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        with torch.no_grad():
            self.first.weight[0] *= 1000
            self.second.weight[:, 0] /= 1e6

    def forward(self, x: Tensor) -> Tensor:
        return self.third(self.second(self.first(x)).tanh())


def test_the_layer_whose_rounding_costs_most_comes_first() -> None:
    module = Chain().eval()
    with torch.no_grad():
        wanted = module(X)
    prepare_quantization_(module, (X,), method="static")
    calibrate_(module, [(X,)], calibration="min_max")
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}

    @torch.no_grad()
    def error() -> float:
        return float((module(X) - wanted).square().mean())

    ranked = layers_by_harm(module, error, mode="min")
    assert ranked[0][0] == "second"
    assert {layer for layer, _ in ranked} == {"first", "second", "third"}
    assert ranked[0][1] > 5 * ranked[1][1] > 0
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    opposite = layers_by_harm(module, lambda: -error(), mode="max")
    assert opposite == ranked
