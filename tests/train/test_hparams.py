from __future__ import annotations

import copy
import pickle
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lifecycle.core.errors import UsageError
from lifecycle.train.hparams import arguments_from, checkpointed
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


class Chosen(Plain):
    """Keeps some of its arguments."""

    def __init__(self, width: int, lr: float = 0.2, note: str = "") -> None:
        super().__init__()
        self.hparams.clear()
        self.save_hyperparameters("width", "lr")


class Configured(Plain):
    """Is given everything in one argument."""

    def __init__(self, config: Any, extra: int = 0) -> None:
        super().__init__()
        self.hparams.clear()
        self.save_hyperparameters(config)
        self.layer = nn.Linear(self.hparams.width, 1)


class Late(Plain):
    """Keeps them in a method of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hparams.clear()
        self.build(width + 1)

    def build(self, other: int) -> None:
        self.save_hyperparameters()


def test_arguments_can_be_chosen_by_name() -> None:
    assert Chosen(3, note="x").hparams == {"width": 3, "lr": 0.2}
    assert Late(3).hparams == {"width": 3}


@pytest.mark.parametrize("config", [{"width": 3, "lr": 0.5}, Namespace(width=3, lr=0.5)])
def test_a_dictionary_or_namespace_can_be_kept(config: Any) -> None:
    assert Configured(config).hparams == {"width": 3, "lr": 0.5}
    assert checkpointed(Configured(config).hparams) == {
        "hyper_parameters": {"width": 3, "lr": 0.5},
        "hparams_name": "config",
    }


def test_what_is_given_is_added_to_what_was_kept_before() -> None:
    class Twice(Plain):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.hparams.clear()
            self.save_hyperparameters({"lr": 0.5, "note": "x"})
            self.save_hyperparameters()
            self.save_hyperparameters({})
            self.save_hyperparameters({"lr": 0.6}, ignore=["note"])

    assert Twice(3).hparams == {"lr": 0.6, "width": 3}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ("widht",),
            r"^save_hyperparameters\('widht'\): __init__ has no such argument; did you mean 'width'\?",
        ),
        (
            (3,),
            r"^save_hyperparameters\(\) got int: expected names of arguments, or one dictionary or namespace$",
        ),
        (({"a": 1}, {"b": 2}), r"^save_hyperparameters\(\) got dict, dict: expected names"),
    ],
)
def test_other_things_are_refused(given: Any, message: str) -> None:
    class Wrong(Plain):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.save_hyperparameters(*given)

    with pytest.raises(UsageError, match=message):
        Wrong(3)


def test_entries_can_be_changed_and_what_was_kept_at_first_stays() -> None:
    module = Kept(8, sizes=[1, 2])
    module.hparams.width = 9
    module.hparams["sizes"].append(3)
    del module.hparams.depth
    assert module.hparams == {"width": 9, "lr": 0.1, "sizes": [1, 2, 3]}
    assert module.hparams_initial == {"width": 8, "depth": 2, "lr": 0.1, "sizes": [1, 2]}
    with pytest.raises(AttributeError, match=r"^no hyperparameter 'depth'"):
        del module.hparams.depth
    again = pickle.loads(pickle.dumps(copy.deepcopy(module.hparams)))
    assert type(again) is type(module.hparams) and again == module.hparams


@pytest.mark.parametrize(
    ("content", "overrides", "expected"),
    [
        ({"hyper_parameters": {"config": 1, "more": 2}}, {}, {"config": 1}),
        ({"hyper_parameters": {"config": 1}}, {"extra": 5}, {"config": 1, "extra": 5}),
        ({"hyper_parameters": {"config": 1}}, {"wrong": 5}, {"config": 1, "wrong": 5}),
        ({}, {}, {}),
        (
            {"hyper_parameters": {"width": 3, "lr": 0.5}, "hparams_name": "config"},
            {"lr": 0.7, "extra": 1},
            {"config": {"width": 3, "lr": 0.7, "extra": 1}, "extra": 1},
        ),
        # A checkpoint of Lightning's says so when there was no such argument.
        ({"hyper_parameters": {"config": 1}, "hparams_name": "kwargs"}, {}, {"config": 1}),
    ],
)
def test_the_arguments_that_make_a_module_again(content: Any, overrides: Any, expected: Any) -> None:
    assert arguments_from(content, Configured, overrides) == expected


def checkpoint(module: Plain, folder: Path) -> Path:
    """A checkpoint of the module after a fit."""
    trainer = quiet()
    trainer.fit(module, loader())
    trainer.save_checkpoint(folder / "fitted.ckpt")
    return folder / "fitted.ckpt"


@pytest.mark.parametrize("made", [Base(width=5), Wide(3), WideToo(3)])
def test_a_module_is_made_again_from_its_checkpoint(tmp_path: Path, made: Base) -> None:
    again = type(made).load_from_checkpoint(checkpoint(made, tmp_path))
    assert type(again) is type(made)
    assert again.hparams == made.hparams
    assert same(again.state_dict(), made.state_dict())


def test_what_is_passed_replaces_what_was_kept(tmp_path: Path) -> None:
    path = checkpoint(Base(width=5, lr=0.1), tmp_path)
    assert Base.load_from_checkpoint(path, lr=0.7).hparams == {"width": 5, "lr": 0.7}
    with pytest.raises(TypeError, match="unexpected keyword argument 'wdth'"):
        Base.load_from_checkpoint(path, wdth=5)
    with pytest.raises(UsageError, match=r"layer.weight: 1×5 in the checkpoint, 1×6 in the module"):
        Base.load_from_checkpoint(path, width=6)


def test_a_module_that_kept_nothing_is_made_without_arguments(tmp_path: Path) -> None:
    class Fixed(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.hparams.clear()

    made: Any = Fixed()
    again: Any = Fixed.load_from_checkpoint(str(checkpoint(made, tmp_path)))
    assert torch.equal(again.net[0].weight, made.net[0].weight)
