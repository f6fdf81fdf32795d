from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.train.diagnose.steps import of, zeros

NUMPY = "; arrays of NumPy are float64 unless they are made with dtype=np.float32"


@pytest.mark.parametrize(
    ("given", "write"),
    [
        (torch.uint8, "x = x.float() / 255 before it, for images whose pixels are from 0 to 255"),
        (torch.float64, f"x = x.float() before it{NUMPY}"),
        (torch.int64, "x = x.float() before it"),
        (torch.float16, "x = x.float() before it"),
    ],
)
@pytest.mark.parametrize("layer", [nn.Conv2d(3, 2, 3), nn.Conv2d(3, 2, 3, bias=False)])
def test_images_of_another_type_than_the_weights(layer: nn.Module, given: torch.dtype, write: str) -> None:
    name = str(given).removeprefix("torch.")
    assert of(layer, zeros(4, 3, 8, 8, dtype=given)) == (
        f"layer (Conv2d) got {name}, and its weights are float32.\n"
        f"  got:     4×3×8×8 of {name}\n"
        "  expects: float32\n"
        f"  write:   {write}"
    )


@pytest.mark.parametrize(
    "layer", [nn.Linear(5, 3), nn.LSTM(5, 3), nn.Sequential(nn.Flatten(), nn.Linear(5, 3))]
)
def test_other_layers_with_weights_are_told_alike(layer: nn.Module) -> None:
    text = of(layer, zeros(4, 5, dtype=torch.float64))
    assert text is not None
    assert " got float64, and its weights are float32.\n" in text
    assert text.endswith(f"  write:   x = x.float() before it{NUMPY}")


@pytest.mark.parametrize(
    ("weights", "call"),
    [
        (torch.float64, "x.double()"),
        (torch.float16, "x.half()"),
        (torch.bfloat16, "x.to(torch.bfloat16)"),
    ],
)
def test_weights_of_other_types_are_told_their_own(weights: torch.dtype, call: str) -> None:
    text = of(nn.Linear(5, 3).to(weights), zeros(4, 5))
    assert text is not None and text.endswith(f"  write:   x = {call} before it")
