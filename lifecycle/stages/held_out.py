"""What a budget needs before anything is compressed: a metric that is logged on data that is held out."""

from __future__ import annotations

from collections.abc import Iterable

from lifecycle.core.asked import Asked, check_asked
from lifecycle.core.stage import Context


def check_held_out(context: Context, measured: Iterable[str]) -> None:
    """Make sure that the budget's metric is one that was measured on the validation split.

    Args:
        context: Its budget.
        measured: Names of what was, of the model that the budget compares with.

    Raises:
        UsageError: the metric is none that ``validation_step`` logs.
    """
    asked = [each for each in context.asked if each.split == "val"]
    if not asked and context.budget.metric is not None:
        asked = [Asked(name=context.budget.metric, split="val", option="budget.metric")]
    check_asked(asked, "val", measured)
