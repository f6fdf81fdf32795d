from __future__ import annotations

import pytest
import torch
from torch import nn

from lifecycle.train.flops import available_flops, measure_flops, peak_flops


def test_operations_of_a_step_without_computing_it() -> None:
    with torch.device("meta"):
        layer, inputs = nn.Linear(8, 4), torch.zeros(2, 8)
    assert measure_flops(layer, lambda: layer(inputs)) == 2 * 2 * 8 * 4
    # backward: the weight's gradient takes as many; that of the input is not asked for
    assert measure_flops(layer, lambda: layer(inputs), torch.Tensor.sum) == 2 * (2 * 2 * 8 * 4)


@pytest.mark.parametrize(
    ("name", "kind", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989.5e12),
        ("NVIDIA H100 PCIe", "bfloat16", 756.5e12),
        ("NVIDIA H100 NVL", "tf32", 417.5e12),
        ("NVIDIA H200", "float64", 34e12),
        ("NVIDIA A100-SXM4-80GB", "tf32", 156e12),
        ("NVIDIA A100-SXM4-80GB", "float32", 19.5e12),
        ("NVIDIA A10", "float16", 125e12),
        ("NVIDIA A10G", "float16", None),
        ("NVIDIA L4", "bfloat16", 121e12),
        ("NVIDIA L40S", "bfloat16", 362e12),
        ("Tesla T4", "float16", 65e12),
        ("Tesla T4", "bfloat16", None),
        ("Tesla V100-SXM2-16GB", "float16", 125e12),
        ("Tesla V100-PCIE-16GB", "float16", 112e12),
        ("NVIDIA GeForce GTX 1080", "float32", None),
    ],
)
def test_data_sheets(name: str, kind: str, peak: float | None) -> None:
    assert peak_flops(name, kind) == peak


def test_a_processor_has_no_data_sheet() -> None:
    assert available_flops(torch.device("cpu"), "32-true") is None
