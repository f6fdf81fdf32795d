from __future__ import annotations

import torch
from torch import Tensor, nn

from lifecycle.compress.outputs import output_layers
from tests.compress.networks import EXAMPLE, Block, Branches, Residual


def names(module: nn.Module, example: tuple[Tensor, ...] = EXAMPLE) -> set[str]:
    found = output_layers(module.eval(), example)
    return {name for name, part in module.named_modules() if part in found}


def test_the_head_makes_the_output() -> None:
    assert names(Residual()) == {"head"}


def test_every_output_has_its_layers() -> None:
    assert names(Branches()) == {"scores", "extra"}


def test_both_ends_of_a_residual_addition_make_the_output_behind_norm_and_activation() -> None:
    assert names(Block(4, 8, 2), (torch.zeros(1, 4, 8, 8),)) == {"conv2", "short.0"}
