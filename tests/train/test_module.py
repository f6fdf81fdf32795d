from __future__ import annotations

import pytest
import torch

import lifecycle as pl
from lifecycle.core.errors import UsageError
from tests.train.small import Plain, loader, quiet


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            "training_step",
            "Bare defines no training_step; add `def training_step(self, batch, batch_idx): …` and return the loss",
        ),
        (
            "configure_optimizers",
            "Bare defines no configure_optimizers; add `def configure_optimizers(self): …` "
            "and return torch.optim.AdamW(self.parameters())",
        ),
    ],
)
def test_what_a_fit_needs_is_asked_for(method: str, message: str) -> None:
    class Bare(Plain):
        pass

    def inherited(*given: object) -> object:
        return getattr(pl.Module, method)(*given)

    setattr(Bare, method, inherited)
    with pytest.raises(UsageError) as caught:
        quiet().fit(Bare(), loader())
    assert str(caught.value) == message


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
