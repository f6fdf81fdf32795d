from __future__ import annotations

import pytest

from lifecycle.core.budget import Budget, check_budget
from lifecycle.core.errors import UsageError

DENSE = {
    "val_acc": 0.99,
    "val_loss": 0.1,
    "params": 1000.0,
    "macs": 4000.0,
    "size_bytes": 8e6,
    "latency_ms": 2.0,
}


@pytest.mark.parametrize(
    ("budget", "measured", "term", "shown", "limit", "holds"),
    [
        (
            Budget(metric="val_acc", max_drop=0.01),
            {"val_acc": 0.98},
            "drop of val_acc",
            "0.01",
            "≤ 0.01",
            True,
        ),
        (
            Budget(metric="val_acc", max_drop=0.01),
            {"val_acc": 0.97},
            "drop of val_acc",
            "0.02",
            "≤ 0.01",
            False,
        ),
        (
            Budget(metric="val_acc", max_drop=0.01),
            {"val_acc": 1.0},
            "drop of val_acc",
            "-0.01",
            "≤ 0.01",
            True,
        ),
        (
            Budget(metric="val_loss", mode="min", max_drop=0.05),
            {"val_loss": 0.2},
            "drop of val_loss",
            "0.1",
            "≤ 0.05",
            False,
        ),
        (Budget(max_params=0.5), {"params": 500.0}, "params of dense", "0.5", "≤ 0.5", True),
        (Budget(max_macs=0.25), {"macs": 1001.0}, "macs of dense", "0.2502", "≤ 0.25", False),
        (Budget(max_size_mb=1.0), {"size_bytes": 1_000_000.0}, "size_mb", "1", "≤ 1", True),
        (Budget(max_size_mb=1.0), {"size_bytes": 1_048_576.0}, "size_mb", "1.049", "≤ 1", False),
        (Budget(max_latency_ms=1.5), {"latency_ms": 2.0}, "latency_ms", "2", "≤ 1.5", False),
        (Budget(min_speedup=2.0), {"latency_ms": 1.0}, "speedup", "2", "≥ 2", True),
        (Budget(min_speedup=2.0), {"latency_ms": 1.6}, "speedup", "1.25", "≥ 2", False),
    ],
)
def test_each_term_compares_with_the_dense_model(
    budget: Budget, measured: dict[str, float], term: str, shown: str, limit: str, holds: bool
) -> None:
    (row,) = check_budget(budget, measured, DENSE)
    assert (row.term, row.measured, row.limit, row.holds) == (term, shown, limit, holds)


def test_nothing_is_checked_unless_it_is_limited() -> None:
    assert check_budget(Budget(), DENSE, DENSE) == []
    assert check_budget(Budget(metric="val_acc"), DENSE, DENSE) == []


def test_what_was_not_measured_yet_is_left_for_later() -> None:
    budget = Budget(metric="val_acc", max_drop=0.0, max_macs=0.5, max_size_mb=1.0, min_speedup=2.0)
    assert [row.term for row in check_budget(budget, {"macs": 1000.0}, DENSE)] == ["macs of dense"]


def test_a_drop_needs_to_know_of_what() -> None:
    with pytest.raises(UsageError, match=r"^budget.max_drop needs budget.metric"):
        Budget(max_drop=0.01)
