from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lifecycle.compress.batch_norm_sparsity import BatchNormSparsity, factors
from lifecycle.core.errors import UsageError
from tests.compress.test_structured_pruning import Classifier, loader, trainer


def test_factors_are_pressed_towards_zero_and_nothing_else_is(tmp_path: Path) -> None:
    class Plain(Classifier):
        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    found = []
    for callbacks in ([], [BatchNormSparsity(2.0)]):
        module = Plain()
        torch.manual_seed(3)
        trainer(tmp_path, *callbacks).fit(module, loader())
        found.append(torch.cat([factor.detach() for factor in factors(module)]).abs().mean())
    assert found[1] < found[0] - 0.2


def test_the_subgradient_is_the_sign_times_the_strength(tmp_path: Path) -> None:
    module = Classifier()
    norm = next(part for part in module.modules() if isinstance(part, nn.BatchNorm2d))
    with torch.no_grad():
        norm.weight[:2] = torch.tensor([-0.5, 0.0])
    for factor in factors(module):
        factor.grad = torch.zeros_like(factor)
    BatchNormSparsity(0.25).on_before_optimizer_step(None, module, None)
    assert norm.weight.grad.tolist() == [-0.25, 0.0, *[0.25] * 6]


def test_a_module_without_batch_normalisation_is_refused(tmp_path: Path) -> None:
    class Linear(Classifier):
        def __init__(self) -> None:
            super().__init__()
            self.network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

        def forward(self, x: Tensor) -> Tensor:
            return self.network(x.float())

    with pytest.raises(UsageError, match="Linear has no batch normalisation with factors to train"):
        trainer(tmp_path, BatchNormSparsity()).fit(Linear(), loader())
    with pytest.raises(UsageError, match="strength: expected a number above 0, got 0"):
        BatchNormSparsity(0)
