from __future__ import annotations

import torch
from torch import Tensor, nn

from lifecycle.compress.calibration import calibrate_
from lifecycle.compress.quantizer import convert_quantized, prepare_quantization_


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu, self.second = nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.relu(self.first(x)))


def test_the_bias_of_every_linear_layer_is_stored_as_integers() -> None:
    torch.manual_seed(0)
    module, x = Two().eval(), torch.randn(64, 6)
    biases = [layer.bias.detach().clone() for layer in (module.first, module.second)]
    prepare_quantization_(module, (x,), method="static")
    calibrate_(module, [(x,)])
    state = convert_quantized(module).state_dict()
    names = [name for name, tensor in state.items() if tensor.dtype == torch.int32 and tensor.ndim == 1]
    stored = [name for name in names if f"{name}_scale" in state and name.startswith("rounded_bias")]
    assert len(stored) == 2
    for name, bias in zip(sorted(stored, key=lambda n: -len(state[n])), biases, strict=True):
        step = state[f"{name}_scale"]
        assert torch.all((state[name] * step - bias).abs() <= step / 2 * 1.001)
