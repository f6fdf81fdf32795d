"""The thresholds of the pipeline file, on what is measured now, the champion side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from lifecycle.core.errors import LifecycleError
from lifecycle.core.threshold import Threshold
from lifecycle.core.verdict import Row
from lifecycle.gates.case import Case
from lifecycle.gates.costs import MEASURED
from lifecycle.gates.paired import paired

if TYPE_CHECKING:
    from lifecycle.gates.comparison import Comparison

RECORDED = ("macs", "params")  # counted when it was evaluated; they cannot be counted on the file


class Thresholds:
    """Every metric that ``gates:`` names reaches its limits; without any limit nothing is promoted.

    What ``test_step`` logs is measured again: the file on its test data, and the champion's beside it. A
    metric that is surely worse than the champion's is refused unless `max_drop` allows it.
    """

    def judge(self, case: Case) -> list[Row]:
        """A row for each limit, and one that compares with the champion for each metric."""
        thresholds = case.limits
        if not thresholds:
            limit = "at least one, from `gates:`"
            return [Row(term="thresholds", measured="none", limit=limit, holds=False)]
        if case.champion is None and not any(threshold.absolute for threshold in thresholds.values()):
            limit = "at least one min or max: there is no champion to compare with"
            return [Row(term="thresholds", measured="none that is absolute", limit=limit, holds=False)]
        counted = {name: threshold for name, threshold in thresholds.items() if name in RECORDED}
        scored = {
            name: threshold for name, threshold in thresholds.items() if name not in (*RECORDED, *MEASURED)
        }
        rows = []
        for name, threshold in counted.items():
            before = case.champion.metrics.get(name) if case.champion else None
            rows += threshold.judge(name, case.candidate.metrics.get(name), before)
        return [*rows, *_scored(case, scored)]


def _scored(case: Case, thresholds: Mapping[str, Threshold]) -> list[Row]:
    """The metrics of ``test_step``."""
    if not thresholds:
        return []
    try:
        found = case.comparison
    except LifecycleError as error:
        limit = "the file scored again, on its test data"
        return [Row(term="test data", measured=error.message, limit=limit, holds=False)]
    rows = []
    for name, threshold in thresholds.items():
        before = found.champion.metrics.get(name) if found.champion else None
        judged = threshold.judge(name, found.candidate.metrics.get(name), before)
        if name not in found.candidate.metrics:
            logged = ", ".join(sorted(found.candidate.metrics)) or "nothing"
            judged = [replace(row, measured=f"not measured: test_step logs {logged}") for row in judged]
        rows += judged
        rows += _beside(case, name, threshold, found)
    return rows


def _beside(case: Case, name: str, threshold: Threshold, found: Comparison) -> list[Row]:
    """Whether the champion is surely better; what the sample may explain is called that."""
    if case.champion is None or found.champion is None or name not in found.candidate.metrics:
        return []
    term = f"{name}, beside version {case.champion.version.number}"
    limit = "not surely worse" if threshold.max_drop is None else "within max_drop"
    if name not in found.champion.metrics:
        return [Row(term=term, measured="not measured on the champion", limit=limit, holds=False)]
    one, other = found.candidate.values.get(name), found.champion.values.get(name)
    if one is None or other is None or len(one) < 2:
        difference = found.candidate.metrics[name] - found.champion.metrics[name]
        worse = difference > 0 if threshold.less_is_better else difference < 0
        text = f"{difference:+.4g}; no test tells it from noise: it is no mean over samples"
        holds = not worse or threshold.max_drop is not None
        return [Row(term=term, measured=text, limit=limit, holds=holds)]
    pair = paired(one, other, found.candidate.weights)
    says = pair.says(less_is_better=threshold.less_is_better)
    holds = says != "worse" or threshold.max_drop is not None
    return [Row(term=term, measured=f"{pair}: {says}", limit=limit, holds=holds)]
