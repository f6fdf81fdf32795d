"""Generators of random numbers that belong to somebody: found, and their states as plain values."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, TypeAlias

import numpy as np
import torch

Generator: TypeAlias = torch.Generator | np.random.Generator | np.random.RandomState | random.Random

# Those of the process, which are seeded for every batch.
SHARED: dict[str, Generator] = {
    "python": random.seed.__self__,  # type: ignore[attr-defined]
    "numpy": np.random.mtrand._rand,
    "torch": torch.default_generator,
}
_KINDS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_LEAVES = (str, bytes, int, float, complex, type(None), type, ModuleType, torch.Tensor, np.ndarray)
_METHODS = ("__getitem__", "__getitems__", "__iter__", "__next__", "__call__")
_DEPTH, _WIDTH, _MOST = 6, 100, 5000  # a data set may lead to anything; generators are near its surface


def generators(without: Sequence[object] = (), **roots: object) -> dict[str, Generator]:
    """The generators that objects draw from, each once, by where they were found.

    Attributes, items of short collections, what functions close over, and the global variables that they
    name are followed. The process's own three are left out: they are seeded for every batch.

    Args:
        without: What is not looked into.
        roots: Where to look, by the name that paths begin with.
    """
    found: dict[str, Generator] = {}
    seen = {id(item) for item in (*SHARED.values(), *without)}
    level = list(roots.items())
    for _ in range(_DEPTH):
        following: list[tuple[str, object]] = []
        for name, item in level:
            if isinstance(item, _LEAVES) or id(item) in seen or len(seen) > _MOST:
                continue
            seen.add(id(item))
            if isinstance(item, _KINDS):
                if not isinstance(item, random.SystemRandom):  # has no state
                    found[name] = item
            else:
                following += _parts(name, item)
        level = following
    return found


def state_of(generator: Generator) -> object:
    """The state of a generator, of numbers, text, lists, dictionaries and tensors."""
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, np.random.Generator):
        return _plain(generator.bit_generator.state)
    if isinstance(generator, np.random.RandomState):
        return _plain(generator.get_state(legacy=False))
    version, numbers, gauss_next = generator.getstate()
    return [version, list(numbers), gauss_next]


def restore_state(generator: Generator, state: Any) -> None:
    """Put a generator back to where `state_of` read it."""
    if isinstance(generator, torch.Generator):
        generator.set_state(state)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = _arrays(state)
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(_arrays(state))
    else:
        version, numbers, gauss_next = state
        generator.setstate((version, tuple(numbers), gauss_next))


def states(found: Mapping[str, Generator]) -> dict[str, object]:
    """The states of several generators."""
    return {name: state_of(generator) for name, generator in found.items()}


def restore_states(found: Mapping[str, Generator], kept: Mapping[str, object]) -> None:
    """Put back those of several generators of which a state was kept."""
    for name, generator in found.items():
        if name in kept:
            restore_state(generator, kept[name])


def _parts(name: str, item: object) -> Iterator[tuple[str, object]]:
    """What may be reached from an object in one step."""
    if isinstance(item, Mapping | list | tuple):
        if len(item) <= _WIDTH:
            pairs = item.items() if isinstance(item, Mapping) else enumerate(item)
            yield from ((f"{name}[{key!r}]", value) for key, value in pairs)
        return
    if isinstance(item, MethodType):
        yield name, item.__self__
        yield name, item.__func__
    elif isinstance(item, partial):
        yield name, item.func
        yield name, [item.args, item.keywords]
    elif isinstance(item, FunctionType):
        yield from _variables(item)
    else:
        yield from ((f"{name}.{key}", value) for key, value in getattr(item, "__dict__", {}).items())
        for method in _METHODS:
            function = getattr(type(item), method, None)
            if isinstance(function, FunctionType):
                yield from _variables(function)


def _variables(function: FunctionType) -> Iterator[tuple[str, object]]:
    """What a function reads that is not passed to it: closed over, or global and a generator or function."""
    for cell, name in zip(function.__closure__ or (), function.__code__.co_freevars, strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not filled yet
            continue
    for name in _names(function.__code__):
        value = function.__globals__.get(name)
        if isinstance(value, _KINDS) or (
            isinstance(value, FunctionType) and value.__module__ == function.__module__
        ):
            yield name, value


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):  # of a comprehension or an inner function
            yield from _names(constant)


def _plain(state: Any) -> Any:
    if isinstance(state, Mapping):
        return {key: _plain(value) for key, value in state.items()}
    if isinstance(state, np.ndarray):
        return {"dtype": str(state.dtype), "values": state.tolist()}
    return state.item() if isinstance(state, np.generic) else state


def _arrays(state: Any) -> Any:
    if not isinstance(state, Mapping):
        return state
    if state.keys() == {"dtype", "values"}:
        return np.array(state["values"], dtype=state["dtype"])
    return {key: _arrays(value) for key, value in state.items()}
