from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.train.diagnose.steps import Over, explained, zeros

WRITE = (
    "  write:   device=x.device where a tensor is made in a step, and self.register_buffer(name, tensor) for "
    "one that is made in __init__"
)


def test_a_tensor_that_was_made_elsewhere() -> None:
    class Noisy(Over):
        def forward(self, inputs: Tensor) -> Tensor:
            return inputs + torch.ones(3, device="meta")

    assert explained(Noisy(nn.Identity()), zeros(4, 3)) == (
        "add in Noisy got tensors on cpu and meta.\n"
        "  got:     4×3 on cpu, 3 on meta\n"
        f"  expects: all on the device of the module\n{WRITE}"
    )


def test_a_batch_that_was_not_moved_names_the_weights() -> None:
    assert explained(Over(nn.Linear(3, 2)), torch.ones(4, 3, device="meta")) == (
        "linear in layer (Linear) got tensors on meta and cpu.\n"
        "  got:     4×3 on meta, 2×3 on cpu (layer.weight), 2 on cpu (layer.bias)\n"
        f"  expects: all on the device of the module\n{WRITE}"
    )
