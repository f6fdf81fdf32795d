"""What compression may cost and must reach: one schema for every stage that measures something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lifecycle.core.errors import UsageError
from lifecycle.core.verdict import Row, at_least, at_most
from lifecycle.core.within import NotNegative, check_limits

AS_FAST = 1.05  # times another's latency is as fast as it, for all that a clock can tell


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits against the dense trained model; a limit that is None is not checked.

    Attributes:
        metric: A name that ``validation_step`` logs.
        mode: Whether more (``max``) or less (``min``) of it is better.
        max_drop: How much worse it may get, absolute.
        max_params: Parameters, as a fraction of the dense model's.
        max_macs: Multiply-accumulates, as a fraction of the dense model's.
        max_size_mb: Size of the ONNX file, in 10^6 bytes.
        max_latency_ms: Median latency of the ONNX file, batch 1, one thread.
        min_speedup: Dense FP32 ONNX latency over this file's, same conditions.
    """

    metric: str | None = None
    mode: Literal["max", "min"] = "max"
    max_drop: NotNegative | None = None
    max_params: NotNegative | None = None
    max_macs: NotNegative | None = None
    max_size_mb: NotNegative | None = None
    max_latency_ms: NotNegative | None = None
    min_speedup: NotNegative | None = None

    def __post_init__(self) -> None:
        check_limits(self)
        if self.max_drop is not None and self.metric is None:
            raise UsageError(
                "budget.max_drop needs budget.metric: the name of a metric that validation_step logs"
            )

    @property
    def has_latency(self) -> bool:
        """Whether the clock may refuse anything."""
        return self.max_latency_ms is not None or self.min_speedup is not None


def check_budget(budget: Budget, measured: Mapping[str, float], dense: Mapping[str, float]) -> list[Row]:
    """Compare what was measured with the budget; terms whose value is absent are left for a later stage.

    Args:
        budget: The limits.
        measured: By name: ``budget.metric`` itself, ``params``, ``macs``, ``size_bytes``, ``latency_ms``.
        dense: The same names, of the dense trained model.

    >>> check_budget(Budget(metric="acc", max_drop=0.01), {"acc": 0.97}, {"acc": 0.99})[0].holds
    False
    """
    rows = []
    name = budget.metric
    if name is not None and budget.max_drop is not None and name in measured and name in dense:
        sign = 1.0 if budget.mode == "max" else -1.0
        drop = sign * (dense[name] - measured[name])
        rows.append(at_most(f"drop of {name}", drop, budget.max_drop))
    for cost, limit in (("params", budget.max_params), ("macs", budget.max_macs)):
        if limit is not None and cost in measured and cost in dense:
            rows.append(at_most(f"{cost} of dense", measured[cost] / dense[cost], limit))
    if budget.max_size_mb is not None and "size_bytes" in measured:
        rows.append(at_most("size_mb", measured["size_bytes"] / 1e6, budget.max_size_mb))
    if "latency_ms" in measured:
        if budget.max_latency_ms is not None:
            rows.append(at_most("latency_ms", measured["latency_ms"], budget.max_latency_ms))
        if budget.min_speedup is not None and "latency_ms" in dense:
            speedup = dense["latency_ms"] / measured["latency_ms"]
            rows.append(at_least("speedup", speedup, budget.min_speedup))
    return rows
