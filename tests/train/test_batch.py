from __future__ import annotations

import warnings
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence

from lifecycle.train.batch import batch_size, move_batch, tensors

Pair = namedtuple("Pair", "inputs targets")


@dataclass
class Sample:
    image: Tensor
    name: str = "x"


@dataclass(frozen=True)
class Frozen:
    image: Tensor
    doubled: Tensor = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "doubled", self.image * 2)


@pytest.mark.parametrize(
    ("batch", "size"),
    [
        (torch.zeros(3, 2), 3),
        ([torch.zeros(4), torch.zeros(4, 9)], 4),
        ({"name": "x", "image": torch.zeros(5, 1), "label": torch.zeros(5)}, 5),
        (("text", [{"deep": (torch.zeros(6, 1),)}]), 6),
        (Pair(torch.zeros(2, 3), ["a", "b"]), 2),
        (Sample(torch.zeros(7)), 7),
        (torch.tensor(1.0), 1),
        ([torch.tensor(1.0), torch.tensor(2.0)], 1),
        ([np.zeros(8), torch.zeros(3)], 3),
        ("nothing", 1),
        ([], 1),
        (iter([torch.zeros(3)]), 1),  # is not read
    ],
)
def test_the_size_of_a_batch_is_the_first_axis_of_its_tensors(batch: object, size: int) -> None:
    assert batch_size(batch) == size


@pytest.mark.parametrize(
    ("batch", "size", "told"),
    [
        ([torch.zeros(4), torch.zeros(9)], 4, "4, 9"),
        ({"image": torch.zeros(5, 1), "more": [torch.zeros(7), torch.zeros(5)]}, 5, "5, 7"),
        ([torch.tensor(1.0), torch.zeros(3)], 1, "1, 3"),
    ],
)
def test_a_size_that_could_be_another_is_warned_of(batch: object, size: int, told: str) -> None:
    with pytest.warns(
        UserWarning, match=rf"^a batch has tensors of several lengths \({told}\): the first counts"
    ):
        assert batch_size(batch) == size
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            batch_size(batch)
    assert len(caught) == 1


def test_tensors_are_found_depth_first() -> None:
    parts = [torch.tensor(float(index)) for index in range(4)]
    batch = {"a": [parts[0], (parts[1], "text")], "b": parts[2], "c": {"d": parts[3]}}
    assert [float(tensor) for tensor in tensors(batch)] == [0.0, 1.0, 2.0, 3.0]


class Graph:
    """Moves itself, and returns what it became."""

    device = "cpu"

    def to(self, device: torch.device) -> Graph:
        moved = Graph()
        moved.device = device.type
        return moved


class Forgetful:
    """Moves itself in place."""

    device = "cpu"

    def to(self, device: torch.device) -> None:
        self.device = device.type


def devices(batch: Any) -> set[str]:
    return {tensor.device.type for tensor in tensors(batch)}


@pytest.mark.parametrize(
    "batch",
    [
        torch.zeros(2),
        [torch.zeros(2), "text", 3, None],
        (torch.zeros(2), {"a": torch.zeros(1)}),
        Pair(torch.zeros(2), [torch.zeros(2)]),
        OrderedDict(b=torch.zeros(2), a=torch.zeros(1)),
        defaultdict(list, a=[torch.zeros(2)]),
    ],
)
def test_every_tensor_moves_and_collections_keep_their_type(batch: Any) -> None:
    moved = move_batch(batch, "meta")
    assert type(moved) is type(batch)
    assert devices(moved) == {"meta"}
    assert devices(batch) == {"cpu"}
    if isinstance(batch, dict):
        assert list(moved) == list(batch)
    if isinstance(batch, defaultdict):
        assert moved.default_factory is list


def test_dataclasses_move_with_all_their_fields() -> None:
    moved = move_batch([Sample(torch.zeros(2), "name"), Frozen(torch.ones(2))], torch.device("meta"))
    assert moved[0].name == "name"
    assert {moved[0].image.device.type, moved[1].image.device.type, moved[1].doubled.device.type} == {"meta"}
    assert type(moved[1]) is Frozen


def test_what_can_move_itself_does() -> None:
    graph, forgetful = Graph(), Forgetful()
    moved = move_batch({"graph": graph, "other": [forgetful]}, "meta")
    assert moved["graph"].device == "meta" and graph.device == "cpu"
    assert moved["other"][0] is forgetful and forgetful.device == "meta"
    packed = move_batch(pack_sequence([torch.zeros(2)]), "meta")
    assert packed.data.device.type == "meta"


def test_what_cannot_move_stays() -> None:
    array = np.zeros(2)
    assert move_batch([array, Graph, "text"], "meta") == [array, Graph, "text"]
    moved = move_batch(MappingProxyType({"a": torch.zeros(1)}), "meta")
    assert devices(moved) == {"meta"}
