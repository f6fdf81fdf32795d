from __future__ import annotations

import pytest

from lifecycle.core.errors import UsageError
from lifecycle.export.benchmark import measure_latency


def test_calls_one_of_each_in_turn_after_warming_up() -> None:
    called: list[str] = []
    runs = {name: (lambda name=name: called.append(name)) for name in ("a", "b")}
    found = measure_latency(runs, calls=3, warm_up=2)
    assert called == ["a", "b"] * 5
    assert set(found) == {"a", "b"}
    assert all(0 <= latency.median_ms <= latency.p95_ms for latency in found.values())


def test_one_call_is_no_measurement() -> None:
    with pytest.raises(UsageError, match="calls must be 2 or more, got 1"):
        measure_latency({"a": list}, calls=1)
