"""What a diagnosis says: always in the same four lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Why a step failed.

    Attributes:
        title: What is wrong, naming the layer.
        got: What arrived, with its shape.
        expects: What would have been right, and where that is written.
        says: torch's own words, where they are all that is known.
        write: What to write instead.
    """

    title: str
    got: str
    expects: str = ""
    says: str = ""
    write: str = ""

    def __str__(self) -> str:
        lines = (("got", self.got), ("expects", self.expects), ("says", self.says), ("write", self.write))
        return "\n".join([self.title, *(f"  {name + ':':8} {text}" for name, text in lines if text)])


def times(shape: Sequence[int]) -> str:
    """A shape as people say it.

    >>> times((6, 15, 15))
    '6×15×15'
    """
    return "×".join(map(str, shape)) or "a single number"


def factors(shape: Sequence[int]) -> str:
    """The size of a shape as code.

    >>> factors((6, 15, 15))
    '6*15*15'
    """
    return "*".join(map(str, shape))


def type_name(dtype: torch.dtype) -> str:
    """A type without its package.

    >>> type_name(torch.uint8)
    'uint8'
    """
    return str(dtype).removeprefix("torch.")


def described(item: object) -> str:
    """Something that was passed to a layer: shapes where it holds tensors.

    >>> described((torch.zeros(2, 3), None))
    '(2×3, None)'
    """
    if isinstance(item, torch.Tensor):
        return times(item.shape)
    if isinstance(item, tuple | list):
        inner = ", ".join(described(part) for part in item)
        return f"({inner})" if isinstance(item, tuple) else f"[{inner}]"
    if isinstance(item, Mapping):
        return "{" + ", ".join(f"{key!r}: {described(part)}" for key, part in item.items()) + "}"
    return repr(item) if item is None or isinstance(item, int | float | str) else type(item).__name__
