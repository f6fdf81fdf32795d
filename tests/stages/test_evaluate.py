from __future__ import annotations

from lifecycle.core.budget import Budget
from lifecycle.stages.evaluate import slower_steps

STEPS = {"dense": {"latency_ms": 3.0}, "prune": {"latency_ms": 1.0}, "compressed": {"latency_ms": 1.2}}


def test_a_step_that_made_the_file_slower_is_refused_where_latency_counts() -> None:
    [row] = slower_steps(Budget(min_speedup=2), STEPS)
    assert str(row) == "REFUSED  latency beside prune's: 1.2 (allowed: ≤ 1.05)"
    [row] = slower_steps(Budget(max_latency_ms=2), {**STEPS, "compressed": {"latency_ms": 1.04}})
    assert row.holds


def test_the_clock_refuses_nothing_where_latency_does_not_count() -> None:
    assert slower_steps(Budget(max_size_mb=1, max_macs=0.5), STEPS) == []
    assert slower_steps(Budget(min_speedup=2), {"compressed": {"latency_ms": 1.0}}) == []
