"""What a batch is: tensors, nested in collections at will."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sized
from dataclasses import fields, is_dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

_NO_WAITING = ("cpu", "mps")  # copies to these must be waited for (pytorch#83015)


def tensors(batch: object) -> Iterator[Tensor]:
    """Every tensor of a batch, depth first: tensors, sequences and mappings of them."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for item in batch.values():
            yield from tensors(item)
    elif isinstance(batch, list | tuple):
        for item in batch:
            yield from tensors(item)


def batch_size(batch: object) -> int:
    """Samples in a batch: the first axis of its first tensor, 1 if that has none; 1 when there is no tensor.

    Warns when its other tensors do not agree.

    >>> batch_size([torch.zeros(4, 2), torch.zeros(4)])
    4
    """
    found: dict[int, None] = {}  # in their order
    _collect(batch, found)
    if len(found) > 1:
        warnings.warn(
            f"a batch has tensors of several lengths ({', '.join(map(str, found))}): the first counts as "
            "its number of samples, by which means are weighted, unless self.log(…, batch_size=…) says so",
            stacklevel=2,
        )
    return next(iter(found), 1)


def _collect(item: object, found: dict[int, None]) -> None:
    """The first axes of an item's tensors."""
    if isinstance(item, Tensor):
        found[item.shape[0] if item.ndim else 1] = None
        return
    for part in _parts(item):
        if isinstance(part, Tensor):  # most are; this spares a call for each
            found[part.shape[0] if part.ndim else 1] = None
        else:
            _collect(part, found)


def _parts(item: Any) -> Iterable[Any]:
    if isinstance(item, list | tuple):
        return item
    if isinstance(item, str | bytes | np.ndarray):
        return ()
    if isinstance(item, Mapping):
        return item.values()
    if is_dataclass(item) and not isinstance(item, type):
        return [getattr(item, field.name) for field in fields(item)]
    return item if isinstance(item, Iterable) and isinstance(item, Sized) else ()


def move_batch(batch: Any, device: torch.device | str) -> Any:
    """A batch with everything on a device that can be moved there.

    Args:
        batch: Tensors and objects with a ``.to(device)``, in lists, tuples, named tuples, mappings and
            dataclasses, nested at will; other things stay as they are.
        device: Where to. Copies from pinned memory are not waited for.
    """
    device = torch.device(device)
    return _moved(batch, device, device.type not in _NO_WAITING)


move_data_to_device = move_batch  # as Lightning calls it


def _moved(item: Any, device: torch.device, non_blocking: bool) -> Any:
    if isinstance(item, Tensor):
        return item.to(device, non_blocking=non_blocking)
    if callable(getattr(item, "to", None)) and not isinstance(item, type):
        moved = item.to(device)
        return item if moved is None else moved  # some move themselves and forget to return it
    if isinstance(item, Mapping):
        parts = {key: _moved(value, device, non_blocking) for key, value in item.items()}
        if not isinstance(item, MutableMapping):
            return parts
        made = cast("MutableMapping[object, object]", copy.copy(item))  # keeps a default factory, say
        made.update(parts)
        return made
    if isinstance(item, list | tuple):
        values = [_moved(part, device, non_blocking) for part in item]
        return type(item)(*values) if hasattr(item, "_fields") else type(item)(values)
    if is_dataclass(item) and not isinstance(item, type):
        changed = copy.copy(item)
        for field in fields(item):
            # As dataclasses fill frozen ones themselves.
            object.__setattr__(changed, field.name, _moved(getattr(item, field.name), device, non_blocking))
        return changed
    return item
