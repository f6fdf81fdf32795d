"""A copy of a state, taken in the step, from which a checkpoint is written while training goes on."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor

from lifecycle.train.packed import packed


class Copied(dict[str, object]):
    """What `copied` took.

    Attributes:
        events: When these have happened, the tensors that come from CUDA devices have arrived.
    """

    events: Sequence[torch.cuda.Event] = ()

    def settle(self) -> None:
        """Wait until every tensor has arrived."""
        for event in self.events:
            event.synchronize()


def copied(content: Mapping[str, object], *, share: bool = False) -> Copied:
    """A state that stays as it is while training goes on: its tensors in memory of their own, on the CPU.

    Tensors that share memory (tied weights) share it in the copy; of memory of which they show only a part
    just that part is copied. Dictionaries, lists and tuples are rebuilt, arrays, paths and numbers of NumPy
    are `lifecycle.train.packed`, other values are taken as they are.
    From CUDA devices the copy goes to pinned memory and is not waited for here; what their current streams
    do next comes after it.

    Args:
        content: A nested state.
        share: Use the CPU's memory as it is, for what is written before anything changes: to the same bytes.
    """
    copier = _Copier(content, share=share)
    taken = Copied(cast("dict[str, object]", copier.take(dict(content))))
    taken.events = [torch.cuda.current_stream(device).record_event() for device in copier.devices]
    return taken


class _Copier:
    """Copies one state; what is one object in it, or one memory, is one in the copy.

    Attributes:
        devices: The CUDA devices that copies are on their way from.
    """

    def __init__(self, content: Mapping[str, object], *, share: bool) -> None:
        self.devices: set[torch.device] = set()
        self._share = share
        self._taken: dict[int, object] = {}  # by the identity of what it is a copy of
        self._memory: dict[Hashable, Tensor] = {}
        self._shown: dict[int, dict[Hashable, int]] = {}  # of each storage, the bytes of each view
        for tensor in _tensors(content, set()):
            if _is_plain(tensor):
                views = self._shown.setdefault(tensor.untyped_storage()._cdata, {})
                views[_geometry(tensor)] = tensor.nbytes

    def take(self, value: object) -> object:
        """A copy of a value and of what it holds."""
        if id(value) in self._taken:
            return self._taken[id(value)]
        if isinstance(value, Tensor):
            self._taken[id(value)] = taken = self._tensor(value.detach())
            return taken
        if isinstance(value, tuple):
            items = [self.take(item) for item in value]
            make = getattr(type(value), "_make", type(value))  # a named tuple takes its items one by one
            self._taken[id(value)] = rebuilt = make(items)
            return rebuilt
        if isinstance(value, dict | list | set | bytearray):
            return self._container(value)
        return packed(value)

    def _container(self, value: dict[object, object] | list[object] | set[object] | bytearray) -> object:
        # With its attributes: a state_dict keeps the versions of its modules in one.
        self._taken[id(value)] = fresh = copy.copy(value)
        if isinstance(fresh, list):
            fresh[:] = [self.take(item) for item in fresh]
        elif isinstance(fresh, dict):
            for key, item in fresh.items():
                fresh[key] = self.take(item)
        return fresh

    def _tensor(self, tensor: Tensor) -> Tensor:
        if not _is_plain(tensor):
            return tensor.clone() if tensor.device.type in ("cpu", "meta") else tensor.cpu()
        storage = tensor.untyped_storage()
        in_part = sum(self._shown[storage._cdata].values()) < storage.nbytes()
        if in_part:
            return self._once((storage._cdata, _geometry(tensor)), tensor).detach()
        if self._share and tensor.device.type == "cpu":
            return tensor
        whole = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)
        memory = self._once(storage._cdata, whole).untyped_storage()
        place = (tensor.storage_offset(), tensor.size(), tensor.stride())
        return torch.empty(0, dtype=tensor.dtype).set_(memory, *place)

    def _once(self, key: Hashable, source: Tensor) -> Tensor:
        """The copy that belongs to a key, made when it is first asked for."""
        if key not in self._memory:
            cuda = source.device.type == "cuda"
            memory = torch.empty(source.shape, dtype=source.dtype, pin_memory=cuda)
            self._memory[key] = memory.copy_(source, non_blocking=cuda)
            if cuda:
                self.devices.add(source.device)
        return self._memory[key]


def _tensors(value: object, seen: set[int]) -> Iterator[Tensor]:
    """Every tensor of a nested state."""
    if isinstance(value, Tensor):
        yield value.detach()
    elif isinstance(value, dict | list | tuple) and id(value) not in seen:
        seen.add(id(value))
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item, seen)


def _is_plain(tensor: Tensor) -> bool:
    """Whether it is a strided view of memory, and nothing else."""
    plain = type(tensor) is Tensor and tensor.layout is torch.strided and tensor.device.type != "meta"
    return plain and not (tensor.is_quantized or tensor.is_conj() or tensor.is_neg())


def _geometry(tensor: Tensor) -> Hashable:
    return tensor.storage_offset(), tensor.size(), tensor.stride(), tensor.dtype
