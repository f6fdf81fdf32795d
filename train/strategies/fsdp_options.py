"""What FSDP is told, in words of Python or of a pipeline file: parts of a module, types of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy

from lifecycle.core.errors import UsageError, suggest

Classes: TypeAlias = "Iterable[type[nn.Module] | str]"
Types: TypeAlias = "MixedPrecisionPolicy | torch.dtype | str | Mapping[str, object] | None"
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


class Parts:
    """Parts of a module: those of some classes, or those with at least so many parameters.

    Args:
        argument: The strategy's, for errors.
        given: Classes, their names, or a number.

    Raises:
        UsageError: it is something else.
    """

    def __init__(self, argument: str, given: Classes | int) -> None:
        self._argument = argument
        self._least = given if isinstance(given, int) and not isinstance(given, bool) else None
        self._classes: tuple[type[nn.Module] | str, ...] = ()
        if self._least is not None:
            if self._least < 1:
                raise UsageError(f"{argument}={given!r}: expected at least one parameter")
            return
        if not isinstance(given, bool | str) and isinstance(given, Iterable):
            self._classes = tuple(given)
            if all(isinstance(each, str | type) for each in self._classes):
                return
        raise UsageError(
            f"{argument}={given!r}: expected classes of parts, their names, or a number of parameters",
            hint=f"Write {argument}={{Block}}, or in a file [Block], or 100000.",
        )

    def of(self, module: nn.Module) -> list[nn.Module]:
        """Those within a module, outer ones before what is in them.

        Raises:
            UsageError: no part is of a class that was named.
        """
        if self._least is not None:
            found: list[nn.Module] = []
            for child in module.children():
                self._large(child, self._least, found)
            return found[::-1]
        parts = [part for part in module.modules() if part is not module]
        for each in self._classes:
            if not any(_is_a(part, each) for part in parts):
                known = {next(_names(part)) for part in parts}
                name = each if isinstance(each, str) else each.__name__
                owner = type(module).__name__
                raise UsageError(f"{self._argument}: no part of {owner} is a {name}: {suggest(name, known)}")
        return [part for part in parts if any(_is_a(part, each) for each in self._classes)]

    def _large(self, part: nn.Module, least: int, found: list[nn.Module]) -> int:
        """Gather large parts, inner ones first; returns how many parameters are in none of them."""
        rest = sum(p.numel() for p in part.parameters(recurse=False))
        rest += sum(self._large(child, least, found) for child in part.children())
        if rest < least:
            return rest
        found.append(part)
        return 0


def policy_of(given: Types) -> MixedPrecisionPolicy | None:
    """In which types parameters are put together and gradients reduced.

    Args:
        given: Torch's policy; the type of parameters, whose gradients are then reduced in single precision;
            or the policy's arguments, with types by name.

    Raises:
        UsageError: it is something else.
    """
    if given is None or isinstance(given, MixedPrecisionPolicy):
        return given
    if isinstance(given, Mapping):
        known = [field.name for field in fields(MixedPrecisionPolicy)]
        for name in given:
            if name not in known:
                raise UsageError(f"mixed_precision has no '{name}': {suggest(str(name), known)}")
        values: dict[str, Any] = {
            name: _value(f"mixed_precision.{name}", value, flag=name == "cast_forward_inputs")
            for name, value in given.items()
        }
        return MixedPrecisionPolicy(**values)
    return MixedPrecisionPolicy(param_dtype=_dtype("mixed_precision", given), reduce_dtype=torch.float32)


def _value(place: str, given: object, *, flag: bool) -> bool | torch.dtype:
    if not flag:
        return _dtype(place, given)
    if isinstance(given, bool):
        return given
    raise UsageError(f"{place}={given!r}: expected true or false")


def _dtype(place: str, given: object) -> torch.dtype:
    if isinstance(given, torch.dtype):
        return given
    if not isinstance(given, str) or given not in DTYPES:
        raise UsageError(f"{place}={given!r}: {suggest(str(given), DTYPES)}")
    return DTYPES[given]


def _is_a(part: nn.Module, wanted: type[nn.Module] | str) -> bool:
    return isinstance(part, wanted) if isinstance(wanted, type) else wanted in _names(part)


def _names(part: nn.Module) -> Iterator[str]:
    """Names of a part's class and of its parents below `nn.Module`; FSDP makes classes of its own of them."""
    for kind in type(part).__mro__:
        if kind is nn.Module:
            return
        if kind is not FSDPModule and FSDPModule not in kind.__bases__:
            yield kind.__name__
