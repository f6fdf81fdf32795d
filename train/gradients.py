"""Looking at gradients."""

from __future__ import annotations

import torch
from torch import nn


def grad_norm(module: nn.Module, norm_type: float | str, group_separator: str = "/") -> dict[str, float]:
    """Norms of every parameter's gradient and of all together, by names that loggers group.

    Args:
        module: Whose gradients were computed.
        norm_type: The order of the norm; ``"inf"`` for the greatest.
        group_separator: Between the kind of norm and the parameter's name.

    Returns:
        ``grad_2.0_norm/weight`` and so on, and ``grad_2.0_norm_total``.
    """
    order = float(norm_type)
    if order <= 0:
        raise ValueError(f"norm_type={norm_type!r}: expected a number above 0, or 'inf'")
    norms = {
        f"grad_{order}_norm{group_separator}{name}": parameter.grad.detach().norm(order)
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    }
    if norms:
        norms[f"grad_{order}_norm_total"] = torch.stack(list(norms.values())).norm(order)
    return {name: float(norm) for name, norm in norms.items()}
