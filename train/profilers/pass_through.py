"""A profiler that measures nothing."""

from __future__ import annotations

from lifecycle.train.profilers.base import Profiler


class PassThroughProfiler(Profiler):
    """Stands in for a profiler where there is none: ``self.profiler = profiler or PassThroughProfiler()``."""

    def start(self, action_name: str) -> None:
        """Measure nothing."""

    def stop(self, action_name: str) -> None:
        """Measure nothing."""
