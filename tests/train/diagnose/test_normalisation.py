from __future__ import annotations

import pytest
from torch import Tensor, nn

from tests.train.diagnose.steps import of, zeros


@pytest.mark.parametrize(
    ("layer", "inputs", "text"),
    [
        (
            nn.BatchNorm2d(6),
            zeros(4, 16, 3, 3),
            "layer (BatchNorm2d) is made for 6 channels, and gets 16.\n"
            "  got:     4×16×3×3\n"
            "  expects: 4×6×3×3, by nn.BatchNorm2d(6)\n"
            "  write:   self.layer = nn.BatchNorm2d(16)",
        ),
        (
            nn.BatchNorm2d(6),
            zeros(4, 6),
            "layer (BatchNorm2d) is for other axes than arrive.\n"
            "  got:     4×6: 2 axes\n"
            "  expects: 4 axes\n"
            "  write:   self.layer = nn.BatchNorm1d(6)",
        ),
        (
            nn.BatchNorm1d(6),
            zeros(4, 8, 3, 3),
            "layer (BatchNorm1d) is for other axes than arrive.\n"
            "  got:     4×8×3×3: 4 axes\n"
            "  expects: 2 or 3 axes\n"
            "  write:   self.layer = nn.BatchNorm2d(8)",
        ),
        (
            nn.BatchNorm1d(6),
            zeros(1, 6),
            "layer (BatchNorm1d) cannot normalise a batch of one sample in training.\n"
            "  got:     1×6\n"
            "  expects: two samples at least, as it divides by their deviation\n"
            "  write:   DataLoader(dataset, batch_size=..., drop_last=True), or a greater batch_size",
        ),
        (
            nn.LayerNorm(8),
            zeros(4, 6),
            "layer (LayerNorm) is made for 8, and gets 6.\n"
            "  got:     4×6\n"
            "  expects: 8 on the last axis, by nn.LayerNorm(8)\n"
            "  write:   self.layer = nn.LayerNorm(6)",
        ),
        (
            nn.LayerNorm((3, 8)),
            zeros(4, 3, 6),
            "layer (LayerNorm) is made for 3×8, and gets 3×6.\n"
            "  got:     4×3×6\n"
            "  expects: 3×8 on the last axes, by nn.LayerNorm((3, 8))\n"
            "  write:   self.layer = nn.LayerNorm((3, 6))",
        ),
        (
            nn.GroupNorm(2, 8),
            zeros(4, 6, 2, 2),
            "layer (GroupNorm) is made for 8 channels, and gets 6.\n"
            "  got:     4×6×2×2\n"
            "  expects: 4×8×2×2, by nn.GroupNorm(2, 8)\n"
            "  write:   self.layer = nn.GroupNorm(2, 6)",
        ),
    ],
)
def test_normalisations_that_do_not_fit(layer: nn.Module, inputs: Tensor, text: str) -> None:
    assert of(layer, inputs) == text
