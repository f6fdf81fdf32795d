"""How FSDP divides a module whose steps compute gradients by themselves (manual optimization)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from torch import nn

from lifecycle.core.errors import UsageError

_CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


def with_the_rest(module: nn.Module, parts: Sequence[nn.Module]) -> list[nn.Module]:
    """These parts of a module, and those that all other parameters are in; outer ones before what is in them.

    Raises:
        UsageError: parameters are in no module that could be a part.
    """
    chosen = {id(part) for part in (*parts, *_by_themselves(module, parts))}
    return [part for part in module.modules() if id(part) in chosen]


def _by_themselves(module: nn.Module, parts: Sequence[nn.Module]) -> list[nn.Module]:
    """The outermost modules with parameters that are in none of these parts.

    In manual optimization the backward pass is within the step, which is the forward pass of the whole: what
    is put together with the whole has its gradients when that has ended, and the optimizer has stepped.
    A module is what is called: containers are not, and those that share a parameter are put together by the
    one that they are in.

    Raises:
        UsageError: parameters are in the module itself, or shared by several of its modules.
    """
    within = {id(inner) for part in parts for inner in part.modules()}
    owners: dict[str, list[list[str]]] = {}
    first: dict[int, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        *owner, _ = name.split(".")
        if id(module.get_submodule(".".join(owner))) not in within:
            owners.setdefault(first.setdefault(id(parameter), name), []).append(owner)
    found = {name: _called(module, _common(each)) for name, each in owners.items()}
    if lost := [name for name, owner in found.items() if not owner]:
        raise UsageError(
            f"strategy='fsdp' with automatic_optimization=False: {', '.join(lost)} of "
            f"{type(module).__name__} would have gradients after the optimizer's step",
            hint="Put parameters, and modules that share one, into a module that is called in training_step.",
        )
    chosen = set(found.values())
    return [module.get_submodule(n) for n in chosen if not any(n.startswith(f"{outer}.") for outer in chosen)]


def _common(paths: Sequence[Sequence[str]]) -> list[str]:
    """What paths of names begin with.

    >>> _common([["net", "encoder"], ["net", "decoder"]])
    ['net']
    """
    return [names[0] for names in takewhile(lambda names: len(set(names)) == 1, zip(*paths, strict=False))]


def _called(module: nn.Module, path: list[str]) -> str:
    """The name of the innermost module on a path that has a forward pass."""
    while path and isinstance(module.get_submodule(".".join(path)), _CONTAINERS):
        path = path[:-1]
    return ".".join(path)
