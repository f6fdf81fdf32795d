"""Dictionaries and tuples of tensors, and the flat names that a file has for what lies in them.

What lies in a structure is called after the way to it: ``batch.ids`` is ``batch["ids"]``, ``pair.0`` is
``pair[0]``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from lifecycle.core.errors import UsageError
from lifecycle.core.signature import Array, Signature

T = TypeVar("T")
_ALLOWED = "allowed: a tensor, or a sequence or dictionary of tensors"


def leaves(value: object, name: str, who: str = "forward gave") -> Iterator[tuple[str, Tensor]]:
    """Every tensor in a structure with its name, in order.

    Raises:
        UsageError: something in it is neither tensor, sequence nor dictionary.
    """
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{name}.{key}" if name else str(key), who)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from leaves(item, f"{name}.{index}" if name else str(index), who)
    else:
        raise UsageError(f"{who} {type(value).__name__}; {_ALLOWED}")


def arrange(names: Sequence[str], values: Sequence[T]) -> list[object]:
    """Arguments of forward, in order: flat values put into the structures that their names tell.

    >>> arrange(["image", "meta.age", "meta.size", "pair.0", "pair.1"], [1, 2, 3, 4, 5])
    [1, {'age': 2, 'size': 3}, (4, 5)]
    """
    tree: dict[str, object] = {}
    for name, value in zip(names, values, strict=True):
        *way, last = name.split(".")
        node = tree
        for part in way:
            below = node.setdefault(part, {})
            if not isinstance(below, dict):
                raise UsageError(f"the signature calls '{part}' an input, and '{name}' a part of it")
            node = below
        node[last] = value
    return [_built(item) for item in tree.values()]


def rebuild(like: object, tensors: Iterator[Tensor]) -> object:
    """The same structure as `like`, of other tensors."""
    if isinstance(like, Mapping):
        return {key: rebuild(item, tensors) for key, item in like.items()}
    if isinstance(like, list | tuple):
        items: list[Any] = [rebuild(item, tensors) for item in like]
        if isinstance(like, list):
            return items
        return type(like)(*items) if hasattr(like, "_fields") else tuple(items)
    return next(tensors)


def named_arrays(signature: Signature, given: Sequence[object]) -> dict[str, Array]:
    """What forward was called with, as numpy arrays by their names in the signature.

    Args:
        signature: Its inputs stand in the order of forward's parameters.
        given: Positional arguments; tensors, or structures of tensors.

    Raises:
        UsageError: there are others than the signature declares.
    """
    roots = list(dict.fromkeys(spec.name.partition(".")[0] for spec in signature.inputs))
    if len(given) != len(roots):
        raise UsageError(
            f"forward was called with {len(given)} arguments; the signature declares {', '.join(roots)}"
        )
    found = {
        name: _array(tensor)
        for root, value in zip(roots, given, strict=True)
        for name, tensor in leaves(value, root, f"forward was given for '{root}' a")
    }
    names = [spec.name for spec in signature.inputs]
    if found.keys() != set(names):
        raise UsageError(
            f"forward was called with {', '.join(found)}; the signature declares {', '.join(names)}"
        )
    return {name: found[name] for name in names}


def to_tensor(array: Array) -> Tensor:
    """A tensor of its own: arrays may be read-only, tensors may not."""
    return torch.from_numpy(array.copy())


def _array(tensor: Tensor) -> Array:
    array: Array = tensor.detach().cpu().numpy()
    return array


def _built(node: object) -> object:
    if not isinstance(node, dict):
        return node
    items = {key: _built(item) for key, item in node.items()}
    if list(items) == [str(index) for index in range(len(items))]:
        return tuple(items.values())
    return items
