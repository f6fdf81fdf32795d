from __future__ import annotations

from collections import OrderedDict, UserDict, defaultdict, namedtuple
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from lifecycle.train.nested import map_tensors

Pair = namedtuple("Pair", "image label")


@dataclass(frozen=True)
class Graph:
    nodes: Tensor
    name: str
    size: int = field(init=False, default=3)


def negated(tensor: Tensor) -> Tensor:
    return -tensor


ONE = torch.ones(2)


def test_tensors_are_replaced_wherever_they_are_and_all_else_stays() -> None:
    batch = {"x": [ONE, (ONE, "text", 3, None)], "y": Pair(ONE, 4)}
    made = map_tensors(batch, negated)
    assert isinstance(made, dict)
    assert made["x"][0].tolist() == made["x"][1][0].tolist() == [-1, -1]
    assert made["x"][1][1:] == ("text", 3, None)
    assert type(made["y"]) is Pair and made["y"].image.tolist() == [-1, -1] and made["y"].label == 4
    assert ONE.tolist() == [1, 1] and batch["x"][0] is ONE


def test_mappings_keep_their_type() -> None:
    for given in (
        {"x": ONE},
        OrderedDict(x=ONE),
        UserDict(x=ONE),
        defaultdict(ONE.clone, x=ONE),
    ):
        made = map_tensors(given, negated)
        assert type(made) is type(given)
        assert made["x"].tolist() == [-1, -1]
        assert given["x"] is ONE
    counting = map_tensors(defaultdict(ONE.clone, x=ONE), negated)
    assert counting["absent"].tolist() == [1, 1]  # type: ignore[index]
    frozen = map_tensors(MappingProxyType({"x": ONE}), negated)
    assert frozen["x"].tolist() == [-1, -1]  # type: ignore[index]


def test_dataclasses_are_copied_even_frozen_ones() -> None:
    given = Graph(ONE, "triangle")
    made = map_tensors(given, negated)
    assert isinstance(made, Graph)
    assert made.nodes.tolist() == [-1, -1] and (made.name, made.size) == ("triangle", 3)
    assert given.nodes is ONE
    assert map_tensors(Graph, negated) is Graph


def test_a_packed_sequence_stays_one() -> None:
    packed = pack_sequence([torch.ones(3, 2), torch.ones(1, 2)])
    made = map_tensors(packed, lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)
    assert isinstance(made, PackedSequence)
    assert made.data.dtype == torch.float64
    assert made.batch_sizes.tolist() == [2, 1, 1] and made.batch_sizes.dtype == torch.int64
