from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

import lifecycle as pl
from lifecycle.core.errors import UsageError
from lifecycle.train.errors import (
    missing_method,
    missing_metric,
    missing_monitor,
    other_model,
)


class Net(pl.Module):
    """Its methods are almost those that a trainer calls."""

    def train_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        raise NotImplementedError

    def configure_optimizer(self) -> object:
        raise NotImplementedError


def plateau() -> ReduceLROnPlateau:
    return ReduceLROnPlateau(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: missing_method(pl.Module(), "training_step"),
            "Module defines no training_step\n"
            "Write `def training_step(self, batch, batch_idx)` and return the loss.",
        ),
        (
            lambda: missing_method(Net(), "training_step"),
            "Net defines no training_step; it defines train_step\nRename that to training_step.",
        ),
        (
            lambda: missing_method(Net(), "validation_step"),
            "Net defines no validation_step\n"
            "Write `def validation_step(self, batch, batch_idx)` and log a metric.",
        ),
        (
            lambda: missing_method(Net(), "configure_optimizers"),
            "Net defines no configure_optimizers; it defines configure_optimizer\n"
            "Rename that to configure_optimizers.",
        ),
        (
            lambda: missing_method(pl.Module(), "configure_optimizers"),
            "Module defines no configure_optimizers\n"
            "Write `def configure_optimizers(self)` and return torch.optim.AdamW(self.parameters(), lr=1e-3).",
        ),
        (
            lambda: missing_metric("EarlyStopping", "val_los", {"val_loss": 1, "train_loss": 2}),
            "EarlyStopping follows 'val_los', which was not logged: did you mean 'val_loss'? "
            "Allowed: train_loss, val_loss\n"
            "Follow one of these, or call self.log('val_los', value).",
        ),
        (
            lambda: missing_metric("ReduceLROnPlateau", "val_loss", []),
            "ReduceLROnPlateau follows 'val_loss', and nothing was logged\n"
            "Call self.log('val_loss', value) in validation_step, or in training_step.",
        ),
        (
            lambda: missing_monitor(plateau()),
            "ReduceLROnPlateau follows a metric, and configure_optimizers does not say which\n"
            'Return {"optimizer": optimizer, "lr_scheduler": {"scheduler": ..., "monitor": "val_loss"}}.',
        ),
    ],
)
def test_what_is_missing_is_named_with_what_to_do(make: Callable[[], UsageError], text: str) -> None:
    assert str(make()) == text


def test_a_checkpoint_of_the_same_model_is_no_error() -> None:
    module = nn.Linear(2, 1)
    assert other_model(module.state_dict(), nn.Linear(2, 1).state_dict()) is None


def test_a_checkpoint_of_another_model_is_told_by_names_and_shapes() -> None:
    saved = nn.ModuleDict({"a": nn.Linear(2, 1), "b": nn.Linear(3, 4)}).state_dict()
    wanted = nn.ModuleDict({"b": nn.Linear(3, 5), "c": nn.Linear(1, 1, bias=False)}).state_dict()
    assert str(other_model(saved, wanted)) == (
        "the checkpoint is of another model:\n"
        "  only in the checkpoint: a.bias\n"
        "  only in the checkpoint: a.weight\n"
        "  only in the module: c.weight\n"
        "  b.bias: 4 in the checkpoint, 5 in the module\n"
        "  b.weight: 4×3 in the checkpoint, 5×3 in the module"
    )


def test_a_long_list_of_differences_is_cut() -> None:
    saved = nn.Sequential(*[nn.PReLU() for _ in range(7)]).state_dict()
    assert str(other_model(saved, {})) == (
        "the checkpoint is of another model:\n"
        "  only in the checkpoint: 0.weight\n"
        "  only in the checkpoint: 1.weight\n"
        "  only in the checkpoint: 2.weight\n"
        "  only in the checkpoint: 3.weight\n"
        "  only in the checkpoint: 4.weight\n"
        "  and 2 more"
    )


def test_names_that_differ_by_what_wraps_the_model_are_recognised() -> None:
    plain, wrapped = nn.Linear(2, 1), nn.ModuleDict({"model": nn.Linear(2, 1)})
    hint = "The names differ by 'model.' alone: one of the two is wrapped in another module."
    for pair in ((plain, wrapped), (wrapped, plain)):
        error = other_model(*(module.state_dict() for module in pair))
        assert error is not None and error.hint == hint
