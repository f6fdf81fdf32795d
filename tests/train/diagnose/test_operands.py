from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lifecycle as pl
from tests.train.diagnose.steps import explained, zeros


class Bare(pl.Module):
    """Parameters without a layer around them."""

    def __init__(self, operation: Callable[[Bare, Tensor], Tensor]) -> None:
        super().__init__()
        self.w = nn.Parameter(zeros(6, 2))
        self.b = nn.Parameter(zeros(6))
        self.operation = operation

    def training_step(self, batch: tuple[Tensor], batch_idx: int) -> Tensor:
        return self.operation(self, batch[0]).sum()


PRODUCT = """\
A product in Bare has factors that do not fit.
  got:     4×8 times 6×2 (w)
  expects: as many on the last axis of the first factor, 8, as on the first of the second, 6
  write:   w as 8×2"""


@pytest.mark.parametrize(
    "operation",
    [
        lambda m, x: x @ m.w,
        lambda m, x: torch.matmul(x, m.w),
        lambda m, x: torch.matmul(input=x, other=m.w),
        lambda m, x: x.mm(m.w),
    ],
)
def test_products_name_the_parameter_and_the_shape_to_write(
    operation: Callable[[Bare, Tensor], Tensor],
) -> None:
    assert explained(Bare(operation), zeros(4, 8)) == PRODUCT


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (
            lambda m, x: F.linear(x, m.w),
            "A product in Bare has factors that do not fit.\n"
            "  got:     4×8 times 6×2 (w)\n"
            "  expects: as many on the last axis of the first factor, 8, as on the last of the second, 2\n"
            "  write:   w as 6×8",
        ),
        (
            lambda m, x: x[:, :2] @ m.w,
            "A product in Bare has factors that do not fit.\n"
            "  got:     4×2 times 6×2 (w)\n"
            "  expects: as many on the last axis of the first factor, 2, as on the first of the second, 6\n"
            "  write:   w transposed, as .mT gives it",
        ),
        (
            lambda m, x: x @ zeros(3, 5),
            "A product in Bare has factors that do not fit.\n"
            "  got:     4×8 times 3×5\n"
            "  expects: as many on the last axis of the first factor, 8, as on the first of the second, 3\n"
            "  write:   the second factor as 8×5",
        ),
        (
            lambda m, x: x + m.b,
            "add failed in Bare.\n"
            "  got:     4×8, 6 (b)\n"
            "  says:    The size of tensor a (8) must match the size of tensor b (6) at non-singleton dimension 1\n"
            "  write:   b with a shape that broadcasts with 4×8, such as 8",
        ),
        (
            lambda m, x: torch.cat([x, m.w]),
            "cat failed in Bare.\n"
            "  got:     4×8, 6×2 (w)\n"
            "  says:    Sizes of tensors must match except in dimension 0. "
            "Expected size 8 but got size 2 for tensor number 1 in the list.",
        ),
        (
            lambda m, x: x[:, 9],
            "__getitem__ failed in Bare.\n"
            "  got:     4×8\n"
            "  says:    index 9 is out of bounds for dimension 1 with size 8",
        ),
    ],
)
def test_other_operations_are_named_with_their_shapes(
    operation: Callable[[Bare, Tensor], Tensor], text: str
) -> None:
    assert explained(Bare(operation), zeros(4, 8)) == text


def test_the_layer_is_named_that_the_operation_is_in() -> None:
    class Block(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x, x[:2]])

    class Deep(pl.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.ModuleDict({"blocks": nn.ModuleList([nn.Identity(), Block()])})

        def training_step(self, batch: tuple[Tensor], batch_idx: int) -> Tensor:
            return self.encoder["blocks"][1](batch[0]).sum()  # type: ignore[index, no-any-return]

    text = explained(Deep(), zeros(4, 8))
    assert text is not None
    assert text.startswith("stack failed in encoder.blocks.1 (Block).\n  got:     4×8, 2×8\n  says:    ")
