"""What a budget needs before anything is compressed: a metric that is logged, on data that is held out."""

from __future__ import annotations

from collections.abc import Mapping

from lifecycle.core.errors import UsageError, suggest
from lifecycle.core.stage import Context

COSTS = ("macs", "params", "size_bytes", "latency_ms", "latency_p95_ms")


def check_held_out(context: Context, measured: Mapping[str, float]) -> None:
    """Make sure that the budget's metric is one that was measured on the validation split.

    Args:
        context: Its budget.
        measured: Of the model that the budget compares with.

    Raises:
        UsageError: the metric is none that ``validation_step`` logs.
    """
    name = context.budget.metric
    if name is None or name in measured:
        return
    logged = [each for each in measured if each not in COSTS]
    raise UsageError(
        f"budget.metric is '{name}', which validation_step never logs: {suggest(name, logged)}",
        hint="log it with self.log in validation_step, or name one that is logged",
    )
