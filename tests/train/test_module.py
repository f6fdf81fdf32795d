from __future__ import annotations

import pytest
import torch

import lifecycle as pl
from lifecycle.core.errors import UsageError
from tests.train.small import Plain, loader, quiet


class WithoutStep(pl.Module):
    def configure_optimizers(self) -> object:
        return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)


class WithoutOptimizer(pl.Module):
    def training_step(self, batch: object, batch_idx: int) -> torch.Tensor:
        return torch.zeros(1, requires_grad=True)


class Misspelt(WithoutStep):
    def train_step(self, batch: object, batch_idx: int) -> torch.Tensor:
        return torch.zeros(1, requires_grad=True)


@pytest.mark.parametrize(
    ("module", "message", "hint"),
    [
        (
            WithoutStep,
            "WithoutStep defines no training_step",
            "Write `def training_step(self, batch, batch_idx)` and return the loss.",
        ),
        (
            WithoutOptimizer,
            "WithoutOptimizer defines no configure_optimizers",
            "Write `def configure_optimizers(self)` and return torch.optim.AdamW(self.parameters(), lr=1e-3).",
        ),
        (
            Misspelt,
            "Misspelt defines no training_step; it defines train_step",
            "Rename that to training_step.",
        ),
    ],
)
def test_what_a_fit_needs_is_asked_for(module: type[pl.Module], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        quiet().fit(module(), loader())
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_the_names_of_lightning_name_the_same_classes() -> None:
    assert pl.LightningModule is pl.Module
    assert pl.LightningDataModule is pl.DataModule


def test_a_module_is_an_ordinary_one() -> None:
    module = Plain()
    assert set(module.state_dict()) == {"net.0.weight", "net.0.bias", "net.3.weight", "net.3.bias"}
    assert module(torch.zeros(2, 4)).shape == (2, 1)
    assert module.device == torch.device("cpu")


def test_postprocess_and_signature_are_optional() -> None:
    assert Plain().signature() is None
    assert Plain().postprocess(torch.zeros(1)) == {}
