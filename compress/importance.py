"""How much a channel matters: scores for one group of coupled channels, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from lifecycle.core.errors import UsageError, suggest

if TYPE_CHECKING:
    from torch_pruning.dependency import Group

# Takes torch-pruning's group of layers that lose the same channels together; gives one score a channel,
# least important lowest, comparable between groups.
Importance = Callable[["Group"], Tensor]


def _magnitude() -> Importance:
    """L2 norm over all weights of a channel in its group, relative to the group's mean (Li et al. 2017)."""
    from torch_pruning.pruner.importance import GroupMagnitudeImportance

    return GroupMagnitudeImportance(p=2)  # type: ignore[no-any-return]


def _lamp() -> Importance:
    """Magnitude relative to that of the channels not yet removed from the layer (Lee et al. 2021)."""
    from torch_pruning.pruner.importance import LAMPImportance

    return LAMPImportance(p=2)  # type: ignore[no-any-return]


def _fpgm() -> Importance:
    """Distance from the layer's other filters, so that redundant ones go first (He et al. 2019)."""
    from torch_pruning.pruner.importance import FPGMImportance

    return FPGMImportance(p=2)  # type: ignore[no-any-return]


def _random() -> Importance:
    """Uniform scores: the baseline that a criterion has to beat."""
    from torch_pruning.pruner.importance import RandomImportance

    return RandomImportance()  # type: ignore[no-any-return]


IMPORTANCE: dict[str, Callable[[], Importance]] = {
    "magnitude": _magnitude,
    "lamp": _lamp,
    "fpgm": _fpgm,
    "random": _random,
}


def importance_named(name: str) -> Importance:
    """Make a criterion.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in IMPORTANCE:
        raise UsageError(f"no importance is called '{name}': {suggest(name, IMPORTANCE)}")
    return IMPORTANCE[name]()
