from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lifecycle.callbacks import ModelCheckpoint
from tests.train.small import Plain, loader, quiet, same


class Kept(Plain):
    """Arguments of every kind."""

    def __init__(self, width: int, depth: int = 2, *, lr: float = 0.1, **more: Any) -> None:
        super().__init__()
        self.hparams.clear()
        local = "not an argument"
        assert local
        self.save_hyperparameters()


def test_the_arguments_are_kept_with_keyword_arguments_spread_out() -> None:
    assert Kept(8, lr=0.5, act="relu", bias=False).hparams == {
        "width": 8,
        "depth": 2,
        "lr": 0.5,
        "act": "relu",
        "bias": False,
    }


@pytest.mark.parametrize("ignore", ["backbone", ["backbone"], ("backbone", "none_such")])
def test_what_is_to_be_ignored_is_not_kept(ignore: Any) -> None:
    class Ignoring(Plain):
        def __init__(self, backbone: nn.Module, width: int = 3) -> None:
            super().__init__()
            self.hparams.clear()
            self.save_hyperparameters(ignore=ignore)

    assert Ignoring(nn.Linear(1, 1)).hparams == {"width": 3}


def test_an_entry_is_an_attribute_too() -> None:
    hparams = Kept(8).hparams
    assert hparams.width == 8
    with pytest.raises(AttributeError, match=r"^no hyperparameter 'wdth'; there are: width, depth, lr$"):
        _ = hparams.wdth


class Base(Plain):
    def __init__(self, width: int = 8, lr: float = 0.1) -> None:
        super().__init__()
        self.hparams.clear()
        self.save_hyperparameters()
        self.layer = nn.Linear(width, 1)


class Wide(Base):
    """Does not save anything itself."""

    def __init__(self, factor: int, lr: float = 0.2) -> None:
        super().__init__(width=8 * factor, lr=2 * lr)


class WideToo(Base):
    """Saves its own after its base did."""

    def __init__(self, factor: int) -> None:
        super().__init__(width=8 * factor)
        self.save_hyperparameters()


@pytest.mark.parametrize(
    ("module", "hparams"),
    [
        (Wide(3), {"factor": 3, "width": 24, "lr": 0.2}),
        (WideToo(3), {"factor": 3, "width": 24, "lr": 0.1}),
    ],
)
def test_a_subclass_keeps_its_own_arguments_and_those_of_its_base(module: Base, hparams: Any) -> None:
    assert module.hparams == hparams


@pytest.mark.parametrize("made", [Base(width=5), Wide(3), WideToo(3)])
def test_a_module_is_made_again_from_its_checkpoint(tmp_path: Path, made: Base) -> None:
    quiet(callbacks=ModelCheckpoint(tmp_path)).fit(made, loader())
    again = type(made).load_from_checkpoint(tmp_path / "last.ckpt")
    assert type(again) is type(made)
    assert again.hparams == made.hparams
    assert same(again.state_dict(), made.state_dict())


def test_what_is_passed_replaces_what_was_kept(tmp_path: Path) -> None:
    quiet(callbacks=ModelCheckpoint(tmp_path)).fit(Base(width=5, lr=0.1), loader())
    assert Base.load_from_checkpoint(tmp_path / "last.ckpt", lr=0.7).hparams == {"width": 5, "lr": 0.7}
    with pytest.raises(TypeError, match="unexpected keyword argument 'wdth'"):
        Base.load_from_checkpoint(tmp_path / "last.ckpt", wdth=5)
    with pytest.raises(RuntimeError, match=r"size mismatch for layer.weight"):
        Base.load_from_checkpoint(tmp_path / "last.ckpt", width=6)


def test_a_module_that_kept_nothing_is_made_without_arguments(tmp_path: Path) -> None:
    class Fixed(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.hparams.clear()

    made: Any = Fixed()
    quiet(callbacks=ModelCheckpoint(tmp_path)).fit(made, loader())
    again: Any = Fixed.load_from_checkpoint(str(tmp_path / "last.ckpt"))
    assert torch.equal(again.net[0].weight, made.net[0].weight)
