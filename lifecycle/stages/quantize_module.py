"""Quantizing the module itself, and leaving in float the layers that hurt until the budget's metric holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from lifecycle.compress.harm import layers_by_harm
from lifecycle.core.budget import Budget, check_budget
from lifecycle.core.canonical import JSON
from lifecycle.core.stage import Context
from lifecycle.stages.fitting import measure

if TYPE_CHECKING:
    from lifecycle.train.module import Module

Attempt = Callable[[tuple[str, ...]], tuple["Module", dict[str, JSON]]]


def quantize_within(
    context: Context, attempt: Attempt, *, float_layers: int
) -> tuple[Module, dict[str, JSON], dict[str, float]]:
    """Quantize all; where the metric falls too far, again without the 1, 2, 4, … layers that hurt most.

    What hurts is found on the validation split, rounding one layer after another alone.

    Args:
        context: Budget, baseline and data.
        attempt: Gives a fresh module, quantized but for the layers named, and the recipe's record.
        float_layers: How many layers may stay in float.

    Returns:
        The first module that holds, else the last that was tried; its record; what validation gives for it.
    """
    module, edit = attempt(())
    metrics = measure(module, context)
    harmful: tuple[str, ...] = ()
    for count in _counts(float_layers):
        if _holds(context, metrics) or 0 < len(harmful) < count:
            break
        harmful = harmful or _harmful(module, context)
        tried = ", ".join(harmful[:count])
        context.progress.note(f"  {_found(context, metrics)}: trying again with {tried} in float")
        module, edit = attempt(harmful[:count])
        metrics = measure(module, context)
    return module, edit, metrics


def _harmful(module: Module, context: Context) -> tuple[str, ...]:
    metric = context.budget.metric or ""
    ranked = layers_by_harm(module, lambda: measure(module, context)[metric], mode=context.budget.mode)
    return tuple(layer for layer, _ in ranked)


def _holds(context: Context, metrics: dict[str, float]) -> bool:
    budget = context.budget
    if context.baseline is None:
        return True
    accuracy = Budget(metric=budget.metric, mode=budget.mode, max_drop=budget.max_drop)
    return all(row.holds for row in check_budget(accuracy, metrics, context.baseline.numbers()))


def _found(context: Context, metrics: dict[str, float]) -> str:
    name = context.budget.metric or ""
    return f"{name} {metrics[name]:.4f} is outside the budget"


def _counts(most: int) -> Iterator[int]:
    count = 1
    while count < most:
        yield count
        count *= 2
    if most:
        yield most
