"""The thresholds of the pipeline file, and the drop from the champion on the same data."""

from __future__ import annotations

from lifecycle.core.threshold import Threshold
from lifecycle.core.verdict import Row
from lifecycle.gates.case import Case


class Thresholds:
    """Every metric that ``gates:`` names reaches its limits; without any limit nothing is promoted."""

    def judge(self, case: Case) -> list[Row]:
        """A row for each limit."""
        if not case.thresholds:
            limit = "at least one, from `gates:`"
            return [Row(term="thresholds", measured="none", limit=limit, holds=False)]
        thresholds = {metric: Threshold(**limits) for metric, limits in case.thresholds.items()}
        reference: dict[str, float] = {}
        if case.champion is not None and any(each.max_drop is not None for each in thresholds.values()):
            ours, theirs = case.candidate.data, case.champion.data
            if ours != theirs:
                limit = f"the champion's, {theirs[:12]}"
                return [Row(term="test data", measured=ours[:12], limit=limit, holds=False)]
            reference = case.champion.metrics
        measured = case.candidate.metrics
        rows = []
        for metric, threshold in thresholds.items():
            rows += threshold.judge(metric, measured.get(metric), reference.get(metric))
        return rows
