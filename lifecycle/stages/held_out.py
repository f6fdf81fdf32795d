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


def check_validation(context: Context) -> None:
    """Make sure, before anything is trained, that there is held-out data where the budget measures.

    Args:
        context: Its budget and data.

    Raises:
        UsageError: the budget names a metric, and the DataModule has no validation split.
    """
    from lifecycle.train.data import DataModule

    if context.budget.metric is None:
        return
    data = context.data()
    if type(data).val_dataloader is DataModule.val_dataloader:  # type: ignore[attr-defined]
        raise UsageError(
            f"budget.metric '{context.budget.metric}' is measured on held-out data, and "
            f"{type(data).__name__} has none: it defines no val_dataloader",
            hint="split some samples off in setup, and return them from val_dataloader",
        )
