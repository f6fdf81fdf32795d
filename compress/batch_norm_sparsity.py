"""`BatchNormSparsity`: training that shows which channels can go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks.base import Callback

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer


class BatchNormSparsity(Callback):
    """Press the factors of batch normalisation towards 0 by their L1 norm, before a cut by ``bn_scale``.

    Network slimming (Liu et al. 2017, https://arxiv.org/abs/1708.06519): channels that the task does not need
    end with small factors. The subgradient is added to the gradients before each optimizer step; the loss
    that is logged stays the module's.

    Args:
        strength: What the norm is weighted with.
    """

    def __init__(self, strength: float = 1e-3) -> None:
        if strength <= 0:
            raise UsageError(f"strength: expected a number above 0, got {strength!r}")
        self.strength = strength

    def on_fit_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Make sure that there is something to press."""
        if not factors(pl_module):
            raise UsageError(
                f"BatchNormSparsity: {type(pl_module).__name__} has no batch normalisation with factors to "
                "train"
            )

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Module, optimizer: Optimizer) -> None:
        """Add the subgradient."""
        for factor in factors(pl_module):
            if factor.grad is not None:
                factor.grad.add_(torch.sign(factor.detach()), alpha=self.strength)


def factors(module: nn.Module) -> list[nn.Parameter]:
    """The factors of every batch normalisation that has some to train."""
    return [
        part.weight
        for part in module.modules()
        if isinstance(part, _BatchNorm) and part.affine and part.weight.requires_grad
    ]
