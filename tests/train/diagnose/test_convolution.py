from __future__ import annotations

import pytest
from torch import Tensor, nn

import lifecycle as pl
from tests.train.diagnose.steps import explained, of, zeros


class Net(pl.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, kernel_size=3, padding=1)

    def training_step(self, batch: tuple[Tensor], batch_idx: int) -> Tensor:
        return self.stem(batch[0]).sum()  # type: ignore[no-any-return]


CALL = "nn.Conv2d(3, width, kernel_size=3, padding=1)"


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (
            zeros(4, 1, 32, 32),
            "stem (Conv2d) is made for 3 channels, and gets 1.\n"
            "  got:     4×1×32×32\n"
            f"  expects: 4×3×32×32, by {CALL}\n"
            "  write:   self.stem = nn.Conv2d(1, width, kernel_size=3, padding=1)",
        ),
        (
            zeros(4, 32, 28, 3),
            "stem (Conv2d) wants channels on the second axis, and they arrive on the last.\n"
            "  got:     4×32×28×3\n"
            f"  expects: 4×3×32×28, by {CALL}\n"
            "  write:   x = x.permute(0, 3, 1, 2) before it",
        ),
        (
            zeros(4, 32, 32),
            "stem (Conv2d) got samples without a channel axis.\n"
            "  got:     4×32×32\n"
            f"  expects: 4×3×32×32, by {CALL}\n"
            "  write:   x = x.unsqueeze(1) before it, "
            "and self.stem = nn.Conv2d(1, width, kernel_size=3, padding=1)",
        ),
        (
            zeros(32, 28, 3),
            "stem (Conv2d) got one image with its channels on the last axis.\n"
            "  got:     32×28×3\n"
            f"  expects: 1×3×32×28, by {CALL}\n"
            "  write:   x = x.permute(2, 0, 1).unsqueeze(0) before it",
        ),
        (
            zeros(4, 3072),
            "stem (Conv2d) got 2 axes, and wants 4.\n"
            "  got:     4×3072\n"
            f"  expects: samples×3×size×size, by {CALL}\n"
            "  write:   x = x.view(-1, 3, 32, 32) before it",
        ),
        (
            zeros(4, 100),
            "stem (Conv2d) got 2 axes, and wants 4.\n"
            "  got:     4×100\n"
            f"  expects: samples×3×size×size, by {CALL}\n"
            "  write:   a tensor of 4 axes: samples, channels, then 2 of space",
        ),
    ],
)
def test_images_that_do_not_fit_a_convolution(inputs: Tensor, text: str) -> None:
    assert explained(Net(), inputs) == text


@pytest.mark.parametrize(
    ("layer", "shape", "write"),
    [
        (nn.Conv2d(1, 2, 3), (4, 28, 28), "x = x.unsqueeze(1) before it"),
        (nn.Conv1d(3, 2, 3), (4, 20, 3), "x = x.permute(0, 2, 1) before it"),
        (nn.Conv1d(3, 2, 5, stride=2), (4, 1, 20), "self.layer = nn.Conv1d(1, 2, 5, stride=2)"),
        (nn.ConvTranspose2d(3, 2, 3), (4, 1, 3, 3), "self.layer = nn.ConvTranspose2d(1, 2, 3)"),
        (
            nn.Conv2d(3, 2, (3, 5), bias=False),
            (4, 1, 9, 9),
            "self.layer = nn.Conv2d(1, 2, (3, 5), bias=False)",
        ),
        (
            nn.Conv2d(3, 2, 3, padding=1, padding_mode="circular"),
            (4, 1, 9, 9),
            "self.layer = nn.Conv2d(1, 2, 3, padding=1, padding_mode='circular')",
        ),
        (
            nn.Conv2d(4, 2, 3, groups=2),
            (4, 1, 9, 9),
            "self.layer = nn.Conv2d(1, 2, 3, groups=2), with groups that divide 1",
        ),
    ],
)
def test_every_kind_of_convolution_is_told_what_to_write(
    layer: nn.Module, shape: tuple[int, ...], write: str
) -> None:
    text = of(layer, zeros(*shape))
    assert text is not None and text.endswith(f"  write:   {write}")


def test_a_feature_map_smaller_than_the_kernel() -> None:
    assert of(nn.Conv2d(1, 2, 5), zeros(4, 1, 3, 2)) == (
        "layer (Conv2d) has a kernel of 5×5, and a feature map of 3×2 arrives.\n"
        "  got:     4×1×3×2\n"
        "  expects: at least 5×5 on the last axes, by nn.Conv2d(1, 2, 5)\n"
        "  write:   fewer pools or strides before it, a smaller kernel, or padding; or use larger images"
    )


def test_a_feature_map_that_is_pooled_away() -> None:
    assert of(nn.Sequential(nn.MaxPool2d(4), nn.AvgPool2d(2)), zeros(4, 3, 4, 4)) == (
        "layer.1 (AvgPool2d) has nothing left to pool.\n"
        "  got:     4×3×1×1\n"
        "  expects: a feature map that is at least as large as the window\n"
        "  write:   fewer pools or strides before it; or use larger images"
    )
