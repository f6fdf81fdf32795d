from __future__ import annotations

import importlib

import pytest

import lifecycle as pl


@pytest.mark.parametrize("module", ["lifecycle", "lifecycle.callbacks"])
def test_every_public_name_is_there(module: str) -> None:
    offered = importlib.import_module(module)
    for name in offered.__all__:
        assert getattr(offered, name).__name__ in (name, name.removeprefix("Lightning"))


def test_the_names_can_be_listed() -> None:
    assert set(pl.__all__) <= set(dir(pl))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("lifecycle", r"^module 'lifecycle' has no attribute 'Trainr'; it offers: Callback, DataModule, "),
        (
            "lifecycle.callbacks",
            r"^module 'lifecycle.callbacks' has no attribute 'Trainr'; it offers: BackboneFinetuning, ",
        ),
    ],
)
def test_a_name_that_is_not_there_is_told_with_those_that_are(module: str, message: str) -> None:
    with pytest.raises(AttributeError, match=message):
        _ = importlib.import_module(module).Trainr


def test_the_surface_is_what_it_is() -> None:
    assert set(pl.__all__) == {
        "Callback",
        "DataModule",
        "LightningDataModule",
        "LightningModule",
        "Module",
        "Signature",
        "TensorSpec",
        "Trainer",
        "seed_everything",
        "with_forward",
    }
