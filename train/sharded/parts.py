"""Taking a state apart: what this process has of divided tensors, and the rest, which all have alike."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.tensor import DTensor

from lifecycle.train.sharded.index import Chunk, Divided


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A state as one process sees it.

    Attributes:
        common: The state; where a tensor is divided, a tensor of its shape and type on the device ``meta``.
        own: The part that this process has of each divided tensor; nothing of those that it has none of.
        tensors: Where those parts belong; their checksums are yet to be made.
    """

    common: dict[str, object]
    own: dict[str, Tensor]
    tensors: dict[str, Divided]


def taken_apart(content: Mapping[str, object], file: str) -> Parts:
    """The parts of a state, which is not copied.

    Args:
        content: The state, nested, with tensors that are divided between processes (`DTensor`).
        file: Where this process will keep its parts.
    """
    divided: dict[str, Any] = {}

    def keep(name: str, value: object) -> object:
        if not isinstance(value, DTensor):
            return value
        divided[name] = value.detach()
        return torch.empty(value.shape, dtype=value.dtype, device="meta")

    common = cast("dict[str, object]", mapped(dict(content), keep))
    planner = DefaultSavePlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
    planner.set_up_planner(divided, is_coordinator=True)
    chunks: dict[str, list[Chunk]] = {name: [] for name in divided}
    own = {}
    for item in planner.create_local_plan().items:
        data = item.tensor_data
        assert data is not None and item.index.fqn not in own  # a process has one part of a tensor at most
        part = cast("Tensor", planner.resolve_data(item)).detach()
        if part.numel() or not divided[item.index.fqn].numel():
            own[item.index.fqn] = part
            place = tuple(data.chunk.offsets), tuple(data.chunk.sizes)
            chunks[item.index.fqn].append(Chunk(file=file, offsets=place[0], sizes=place[1], checksum=0))
    tensors = {
        name: Divided(dtype=value.dtype, shape=tuple(value.shape), chunks=tuple(chunks[name]))
        for name, value in divided.items()
    }
    return Parts(common=common, own=own, tensors=tensors)


def mapped(value: object, function: Callable[[str, object], object], name: str = "") -> object:
    """A copy of a nested state with `function` applied to what is in it, and to the place where it is.

    >>> mapped({"a": [1, (2,)]}, lambda name, value: f"{name} is {value}")
    {'a': ['a/0 is 1', ('a/1/0 is 2',)]}
    """
    if isinstance(value, dict):
        fresh = copy.copy(value)  # with its attributes: a state_dict keeps the versions of its modules in one
        for key, item in value.items():
            fresh[key] = mapped(item, function, _below(name, key))
        return fresh
    if isinstance(value, list | tuple):
        items = [mapped(item, function, _below(name, index)) for index, item in enumerate(value)]
        make = getattr(type(value), "_make", type(value))  # a named tuple takes its items one by one
        return make(items)
    return function(name, value)


def _below(name: str, key: object) -> str:
    return f"{name}/{key}" if name else str(key)
