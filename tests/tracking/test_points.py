from __future__ import annotations

from itertools import pairwise

from lifecycle.tracking.points import Points
from lifecycle.train.loggers.record import Record


def test_what_has_a_step_is_kept_as_it_was_last() -> None:
    points = Points()
    points.add([Record({"acc": 0.5, "system/memory": 1.0}, 2, 0.0), Record({"acc": 0.1}, 1, 0.0)])
    points.add([Record({"acc": 0.6, "epoch": 1.0}, 2, 0.0), Record({"size": 7.0}, None, 0.0)])
    assert points.curves() == {"acc": ((1.0, 0.1), (2.0, 0.6))}


def test_a_long_curve_is_thinned_and_spans_the_whole() -> None:
    points = Points()
    for step in range(100_000):
        points.add([Record({"loss": 1.0 / (1 + step)}, step, 0.0)])
    found = points.curves()["loss"]
    assert 1000 < len(found) <= 4000
    assert found[0] == (0.0, 1.0) and found[-1][0] > 99_000
    gaps = {after[0] - before[0] for before, after in pairwise(found)}
    assert len(gaps) <= 2
