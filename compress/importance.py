"""How much a channel matters: scores for one group of coupled channels, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from lifecycle.core.errors import UsageError, suggest

if TYPE_CHECKING:
    from torch_pruning.dependency import Group

# Takes torch-pruning's group of layers that lose the same channels together; gives one score a channel,
# least important lowest, comparable between groups; None leaves the group as it is.
Importance = Callable[["Group"], Tensor | None]
# What a criterion looks at besides weights; `lifecycle.compress.evidence` gathers it.
Evidence = Literal["gradients", "squared gradients", "activations"]


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """A way to rank channels.

    Attributes:
        make: Makes the scoring function.
        evidence: What it needs to have been gathered on data; None for weights alone.
    """

    make: Callable[[], Importance]
    evidence: Evidence | None = None


def _magnitude() -> Importance:
    """L2 norm over all weights of a channel in its group, relative to the group's mean (Li et al. 2017)."""
    from torch_pruning.pruner.importance import GroupMagnitudeImportance

    return GroupMagnitudeImportance(p=2)  # type: ignore[no-any-return]


def _magnitude_l1() -> Importance:
    """L1 norm in place of L2 (Li et al. 2017)."""
    from torch_pruning.pruner.importance import GroupMagnitudeImportance

    return GroupMagnitudeImportance(p=1)  # type: ignore[no-any-return]


def _bn_scale() -> Importance:
    """Size of a channel's batch-normalisation factor (network slimming, Liu et al. 2017)."""
    from torch_pruning.pruner.importance import BNScaleImportance

    return BNScaleImportance()  # type: ignore[no-any-return]


def _lamp() -> Importance:
    """Magnitude relative to that of the channels not yet removed from the layer (Lee et al. 2021)."""
    from torch_pruning.pruner.importance import LAMPImportance

    return LAMPImportance(p=2)  # type: ignore[no-any-return]


def _fpgm() -> Importance:
    """Distance from the layer's other filters, so that redundant ones go first (He et al. 2019)."""
    from torch_pruning.pruner.importance import FPGMImportance

    return FPGMImportance(p=2)  # type: ignore[no-any-return]


def _taylor() -> Importance:
    """What removing a channel does to the loss, to first order (Molchanov et al. 2019)."""
    from torch_pruning.pruner.importance import GroupTaylorImportance

    return GroupTaylorImportance()  # type: ignore[no-any-return]


def _hessian() -> Importance:
    """To second order, with squared gradients for the Hessian's diagonal (LeCun et al. 1989)."""
    from torch_pruning.pruner.importance import GroupHessianImportance

    return GroupHessianImportance()  # type: ignore[no-any-return]


def _activation() -> Importance:
    """Mean absolute value of what the next layers read of a channel (Hu et al. 2016)."""
    from torch_pruning.pruner.importance import ActivationImportance

    return ActivationImportance()  # type: ignore[no-any-return]


def _random() -> Importance:
    """Uniform scores: the baseline that a criterion has to beat."""
    from torch_pruning.pruner.importance import RandomImportance

    return RandomImportance()  # type: ignore[no-any-return]


IMPORTANCE: dict[str, Criterion] = {
    "magnitude": Criterion(make=_magnitude),
    "magnitude_l1": Criterion(make=_magnitude_l1),
    "bn_scale": Criterion(make=_bn_scale),
    "lamp": Criterion(make=_lamp),
    "fpgm": Criterion(make=_fpgm),
    "taylor": Criterion(make=_taylor, evidence="gradients"),
    "hessian": Criterion(make=_hessian, evidence="squared gradients"),
    "activation": Criterion(make=_activation, evidence="activations"),
    "random": Criterion(make=_random),
}


def importance_named(name: str) -> Criterion:
    """A criterion.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in IMPORTANCE:
        raise UsageError(f"no importance is called '{name}': {suggest(name, IMPORTANCE)}")
    return IMPORTANCE[name]


def name_of(importance: str | Importance) -> str:
    """What the recipe calls a criterion: its name, or that of the user's function."""
    if isinstance(importance, str):
        return importance
    return f"function {getattr(importance, '__qualname__', type(importance).__qualname__)}"


def no_scores(module: nn.Module, importance: str | Importance) -> UsageError:
    """The error of a criterion that finds nothing to score."""
    hint = (
        "bn_scale needs batch normalisation: try magnitude"
        if importance == "bn_scale"
        else (
            "layers in `ignore`, those that make outputs and attentions whose heads cannot be told apart stay"
        )
    )
    return UsageError(
        f"importance '{name_of(importance)}' finds no channels of {type(module).__name__} that may go",
        hint=hint,
    )
