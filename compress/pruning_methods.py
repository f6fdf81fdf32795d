"""By which rules `ModelPruning` takes weights, and which options fit which rule."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn
from torch.nn.utils import prune

from lifecycle.compress.masks import is_structured
from lifecycle.core.errors import UsageError, suggest

Amount = int | float
METHODS: dict[str, type[prune.BasePruningMethod]] = {
    "l1_unstructured": prune.L1Unstructured,
    "random_unstructured": prune.RandomUnstructured,
    "ln_structured": prune.LnStructured,
    "random_structured": prune.RandomStructured,
}
TWO_OF_FOUR = "2:4"
CONTAINERS = (nn.ModuleDict, nn.ModuleList, nn.Sequential)


def check_pruning(
    pruning_fn: str | type[prune.BasePruningMethod],
    together: bool,
    amount: Amount | Callable[[int], Amount],
    dim: int | None,
    norm: int | None,
    verbose: int,
    schedule: str | None,
) -> None:
    """Refuse options of `ModelPruning` that do not fit together.

    Raises:
        UsageError: says which, and what is allowed.
    """
    if isinstance(pruning_fn, str) and pruning_fn not in METHODS and pruning_fn != TWO_OF_FOUR:
        raise UsageError(f"pruning_fn '{pruning_fn}': {suggest(pruning_fn, [*METHODS, TWO_OF_FOUR])}")
    cls = METHODS.get(pruning_fn) if isinstance(pruning_fn, str) else pruning_fn
    if cls is not None and not (isinstance(cls, type) and issubclass(cls, prune.BasePruningMethod)):
        raise UsageError(f"pruning_fn: expected a name or a class of torch.nn.utils.prune, got {cls!r}")
    structured = cls is not None and is_structured(cls)
    if structured and together:
        raise UsageError(
            f"{pruning_fn} prunes channels, which cannot be ranked as one with use_global_unstructured=True: "
            "pass use_global_unstructured=False"
        )
    if structured and dim is None:
        raise UsageError(f"{pruning_fn} needs pruning_dim: 0 for output channels")
    if pruning_fn == "ln_structured" and norm is None:
        raise UsageError("ln_structured needs pruning_norm: 1 or 2")
    if (isinstance(amount, float) and not 0 <= amount <= 1) or (isinstance(amount, int) and amount < 0):
        raise UsageError(f"amount: expected a fraction from 0 to 1 or a count, got {amount!r}")
    if verbose not in (0, 1, 2):
        raise UsageError(f"verbose: expected 0, 1 or 2, got {verbose!r}")
    if schedule not in (None, "constant", "cubic"):
        raise UsageError(f"schedule: expected constant or cubic, got {schedule!r}")
    if (
        schedule is not None
        and not callable(amount)
        and (not isinstance(amount, float) or math.isnan(amount))
    ):
        raise UsageError(f"amount: a schedule goes to a fraction of all weights, got {amount!r}")
