"""Hyperparameters, as loggers can write them down."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, cast

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


def by_name(params: object) -> dict[str, Any]:
    """What a mapping, a namespace or a dataclass holds; nothing for None.

    >>> by_name(Namespace(lr=0.1))
    {'lr': 0.1}
    """
    if params is None:
        return {}
    if isinstance(params, Mapping):
        return {str(name): value for name, value in params.items()}
    if is_dataclass(params) and not isinstance(params, type):
        return {field.name: getattr(params, field.name) for field in fields(params)}
    return dict(vars(params))


def flattened(params: object, parent: str = "") -> dict[str, Any]:
    """Nested hyperparameters under one name each.

    >>> flattened({"net": {"width": 8}, "stages": [{"depth": 2}], "sizes": [1, 2]})
    {'net/width': 8, 'stages/0/depth': 2, 'sizes': [1, 2]}
    """
    found: dict[str, Any] = {}
    for name, value in by_name(params).items():
        path = f"{parent}/{name}" if parent else name
        if _nested(value):
            found |= flattened(value, path)
        elif isinstance(value, list) and value and all(map(_nested, value)):
            for index, item in enumerate(value):
                found |= flattened(item, f"{path}/{index}")
        else:
            found[path] = value
    return found


def plain(value: object) -> Plain:
    """The same in types that YAML knows: paths, classes and whatever else there is become text.

    >>> plain({"size": (3, 32), "act": int, "net": {"lr": 1}})
    {'size': [3, 32], 'act': 'builtins.int', 'net': {'lr': 1}}
    """
    if isinstance(value, Enum):
        return value.name
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return cast("Plain", kind(value))
    if value is None:
        return None
    if _nested(value):
        return {name: plain(item) for name, item in by_name(value).items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):  # of numpy or torch
        return plain(value.item())
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return f"{value.__module__}.{value.__qualname__}"
    return str(value)


def _nested(value: object) -> bool:
    return isinstance(value, Mapping | Namespace) or (is_dataclass(value) and not isinstance(value, type))
