from __future__ import annotations

import pytest
import torch
from torch import nn

from lifecycle.utilities import grad_norm


def graded() -> nn.Module:
    """Gradients of 3, -4 and 12, and a frozen parameter without."""
    module = nn.Linear(2, 1)
    module.weight.grad = torch.tensor([[3.0, -4.0]])
    module.bias.grad = torch.tensor([12.0])
    module.register_parameter("frozen", nn.Parameter(torch.zeros(1), requires_grad=False))
    return module


@pytest.mark.parametrize(
    ("order", "weight", "bias", "total"),
    [(2, 5.0, 12.0, 13.0), (1, 7.0, 12.0, 19.0), ("inf", 4.0, 12.0, 12.0), (float("inf"), 4.0, 12.0, 12.0)],
)
def test_norms_of_each_gradient_and_of_all(order: float, weight: float, bias: float, total: float) -> None:
    name = f"grad_{float(order)}_norm"
    assert grad_norm(graded(), order) == {
        f"{name}/weight": weight,
        f"{name}/bias": bias,
        f"{name}_total": total,
    }


def test_the_separator_is_the_loggers() -> None:
    assert list(grad_norm(graded(), 2, "-")) == [
        "grad_2.0_norm-weight",
        "grad_2.0_norm-bias",
        "grad_2.0_norm_total",
    ]


def test_without_gradients_there_are_no_norms() -> None:
    assert grad_norm(nn.Linear(2, 1), 2) == {}


@pytest.mark.parametrize("order", [0, -1.0])
def test_an_order_is_above_zero(order: float) -> None:
    with pytest.raises(ValueError, match=rf"^norm_type={order}: expected a number above 0, or 'inf'$"):
        grad_norm(graded(), order)
