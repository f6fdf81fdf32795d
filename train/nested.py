"""Batches as users nest them: tensors in sequences, mappings, named tuples and dataclasses."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import fields, is_dataclass
from typing import cast

from torch import Tensor


def map_tensors(item: object, function: Callable[[Tensor], object]) -> object:
    """A copy of `item` with `function` applied to every tensor in it, of the same types throughout.

    Args:
        item: A tensor, a list, tuple, named tuple (a packed sequence is one), mapping or dataclass, nested
            at will; anything else stays as it is.
        function: What takes a tensor's place.
    """
    if isinstance(item, Tensor):
        return function(item)
    if isinstance(item, Mapping):
        return _mapping(item, function)
    if isinstance(item, list | tuple):
        parts = [map_tensors(part, function) for part in item]
        make: Callable[..., object] = type(item)
        return make(*parts) if hasattr(item, "_fields") else make(parts)
    if is_dataclass(item) and not isinstance(item, type):
        made = copy.copy(item)
        for field in fields(item):
            # As dataclasses fill frozen ones themselves.
            object.__setattr__(made, field.name, map_tensors(getattr(item, field.name), function))
        return made
    return item


def _mapping(item: Mapping[object, object], function: Callable[[Tensor], object]) -> Mapping[object, object]:
    parts = {key: map_tensors(value, function) for key, value in item.items()}
    if not isinstance(item, MutableMapping):
        return parts
    made = cast("MutableMapping[object, object]", copy.copy(item))  # keeps a default factory, say
    made.update(parts)
    return made
