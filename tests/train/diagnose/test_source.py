from __future__ import annotations

import ast

import pytest
from torch import nn

import lifecycle as pl
from lifecycle.train.diagnose.scene import Layer
from lifecycle.train.diagnose.source import constant, unparsed, written


def text_of(root: nn.Module, name: str, **changed: str) -> str:
    """What is found to make a layer, with changes."""
    return written(Layer(name, root.get_submodule(name)), root).with_(**changed)


class Encoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width * 2, out_features=3)


class Net(pl.Module):
    def __init__(self, width: int = 4, deep: bool = False) -> None:
        super().__init__()
        self.encoder = Encoder(width)
        self.first: nn.Module = nn.Linear(2 * 3 + 1 - 1, width)
        if deep:
            self.head = nn.Linear(16 * 5 * 5, 10)
        else:
            self.head = nn.Linear(6 * 5 * 5, 10)
        self.parts = nn.ModuleList(
            [nn.Identity(), nn.Sequential(nn.ReLU(), nn.Linear(8 // 2, 2, bias=False))]
        )
        self.named = nn.ModuleDict({"left": nn.Linear(3, 2), "right": nn.Linear(3, 2, bias=True)})
        self.repeated = nn.Sequential(*[nn.Linear(3, 3) for _ in range(2)])
        self.sizes = nn.Linear(*(3, 5))
        self.wide = nn.Linear(width, 7)

    def widen(self) -> None:
        self.wide = nn.Linear(99, 7)


class Heir(Net):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5 * 5, 2)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("first", "self.first = nn.Linear(2*3 + 1 - 1, width)"),
        ("encoder.project", "self.project = nn.Linear(width*2, out_features=3)"),
        ("parts.1.1", "self.parts[1][1] = nn.Linear(8//2, 2, bias=False)"),
        ("named.right", "self.named.right = nn.Linear(3, 2, bias=True)"),
        ("wide", "self.wide = nn.Linear(width, 7)"),
        # Not as written, since that says nothing of their sizes.
        ("repeated.1", "self.repeated[1] = nn.Linear(3, 3)"),
        ("sizes", "self.sizes = nn.Linear(3, 5)"),
    ],
)
def test_layers_are_found_where_they_are_written(name: str, text: str) -> None:
    assert text_of(Net(), name) == text


def test_numbers_tell_which_of_several_calls_made_the_layer() -> None:
    assert text_of(Net(deep=True), "head") == "self.head = nn.Linear(16*5*5, 10)"
    assert text_of(Net(deep=False), "head") == "self.head = nn.Linear(6*5*5, 10)"
    assert text_of(Heir(), "first") == "self.first = nn.Linear(5*5, 2)"


def test_a_layer_that_was_replaced_from_outside_is_described_by_itself() -> None:
    net = Net()
    net.head = nn.Linear(7, 10, bias=False)
    net.first = nn.Embedding(7, 3, padding_idx=0)
    assert text_of(net, "head") == "self.head = nn.Linear(7, 10, bias=False)"
    assert text_of(net, "first") == "self.first = nn.Embedding(7, 3, padding_idx=0)"


def test_classes_without_source_are_described_by_their_layers() -> None:
    space: dict[str, type[nn.Module]] = {}
    code = (
        "class Made(nn.Module):\n  def __init__(self):\n    super().__init__(); self.fc = nn.Linear(2 * 2, 3)"
    )
    exec(code, {"nn": nn}, space)
    assert text_of(space["Made"](), "fc") == "self.fc = nn.Linear(4, 3)"


def test_a_layer_that_is_no_attribute_has_nothing_to_be_assigned_to() -> None:
    assert written(Layer("", nn.Linear(2, 3)), Net()).with_(in_features="4") == "nn.Linear(4, 3)"


def test_arguments_are_changed_where_they_stand() -> None:
    net = Net()
    assert text_of(net, "encoder.project", in_features="6*15*15", out_features="5") == (
        "self.project = nn.Linear(6*15*15, out_features=5)"
    )
    assert text_of(net, "wide", bias="False") == "self.wide = nn.Linear(width, 7, bias=False)"


@pytest.mark.parametrize(
    ("source", "tight"),
    [
        ("nn.Linear(16 * 5 *  5, 120)", "nn.Linear(16*5*5, 120)"),
        ("f(a, *b, **c)", "f(a, *b, **c)"),
        ("x[0] * -y + (z) * 2", "x[0]*-y + z*2"),
        ("x // 2 ** 3", "x//2**3"),
    ],
)
def test_products_are_written_without_spaces(source: str, tight: str) -> None:
    assert unparsed(ast.parse(source, mode="eval").body) == tight


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("16 * 5 * 5", 400),
        ("2 + 3 - 1", 4),
        ("7 // 2", 3),
        ("7 // 0", None),
        ("width * 2", None),
        ("'a'", None),
    ],
)
def test_whole_numbers_are_computed_and_nothing_else(source: str, value: int | None) -> None:
    assert constant(ast.parse(source, mode="eval").body) == value
