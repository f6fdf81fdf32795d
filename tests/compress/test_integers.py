from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from lifecycle.compress import pt2e  # noqa: F401  (knows the operators)
from lifecycle.compress.integers import dequantize, dequantize_channels, quantize


class Both(nn.Module):
    def forward(self, x: Tensor, weight: Tensor, scale: Tensor, zero_point: Tensor) -> tuple[Tensor, ...]:
        integers = quantize(x, 0.037, 100, 0, 255, torch.uint8)
        floats = dequantize(integers, 0.037, 100, 0, 255, torch.uint8)
        return integers, floats, dequantize_channels(weight, scale, zero_point, 0, -127, 127, torch.int8)


def test_torchscript_records_arithmetic_with_the_same_result_to_the_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1000, 7, generator=generator) * 4
    weight = torch.randint(-127, 128, (6, 5), dtype=torch.int8, generator=generator)
    scale, zero_point = torch.rand(6, generator=generator), torch.zeros(6, dtype=torch.int32)
    inputs = (x, weight, scale, zero_point)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch discourages TorchScript
        traced = torch.jit.trace(Both(), inputs)
    assert "quantized_decomposed" not in str(traced.graph)
    for got, wanted in zip(traced(*inputs), Both()(*inputs), strict=True):
        assert torch.equal(got, wanted)
