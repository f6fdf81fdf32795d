"""What was logged at the steps of a run, kept in the process that logs it, so that it can be drawn."""

from __future__ import annotations

from collections.abc import Sequence

from lifecycle.train.loggers.record import Record

MACHINE = "system/"
_MOST = 4000  # of a metric: more are not told apart in a drawing


class Points:
    """Steps and values of every metric; of long ones every other point, and again, as they grow."""

    def __init__(self) -> None:
        self._found: dict[str, dict[float, float]] = {}
        self._every: dict[str, int] = {}
        self._seen: dict[str, int] = {}

    def add(self, records: Sequence[Record]) -> None:
        """Keep what has a step; what is logged at one twice counts as it was last."""
        for metrics, step, _ in records:
            if step is None:
                continue
            for name, value in metrics.items():
                if name != "epoch" and not name.startswith(MACHINE):
                    self._keep(name, float(step), float(value))

    def _keep(self, name: str, step: float, value: float) -> None:
        seen = self._seen[name] = self._seen.get(name, -1) + 1
        every = self._every.setdefault(name, 1)
        if seen % every:
            return
        points = self._found.setdefault(name, {})
        points[step] = value
        if len(points) > _MOST:
            self._found[name] = dict(list(points.items())[::2])
            self._every[name] = 2 * every

    def curves(self) -> dict[str, tuple[tuple[float, float], ...]]:
        """Points of each metric, in the order of their steps."""
        return {name: tuple(sorted(points.items())) for name, points in self._found.items()}
