"""What each action spends its time on, function by function."""

from __future__ import annotations

import cProfile
import io
import pstats
from pathlib import Path

from lifecycle.core.errors import UsageError
from lifecycle.train.profilers.base import Profiler


class AdvancedProfiler(Profiler):
    """Measures the Python functions that run within each action, with `cProfile`.

    The report of an action includes the actions within it. Of a function that is running when an action
    begins or ends within it, only a part is seen.

    Args:
        dirpath: Where the report goes, if it goes to a file.
        filename: Of the report, without ``.txt``.
        line_count_restriction: How many functions are listed for each action, or as a float which fraction.
        dump_stats: Also write a ``.prof`` file for each action to `dirpath`, which `pstats` reads.
    """

    def __init__(
        self,
        dirpath: str | Path | None = None,
        filename: str | None = None,
        line_count_restriction: float = 1.0,
        dump_stats: bool = False,
    ) -> None:
        super().__init__(dirpath, filename)
        self.line_count_restriction = line_count_restriction
        self.dump_stats = dump_stats
        # Only one cProfile can run at a time, so there is one for every way in which actions lie within each
        # other; an action's own are all those on whose way it is.
        self._profiles: dict[tuple[str, ...], cProfile.Profile] = {}
        self._way: tuple[str, ...] = ()

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """Begin anew: a report is that of one stage."""
        super().setup(stage, local_rank, log_dir)
        self._go(())
        self._profiles = {}

    def start(self, action_name: str) -> None:
        """An action begins."""
        self._go((*self._way, action_name))

    def stop(self, action_name: str) -> None:
        """An action has ended.

        Raises:
            UsageError: it has not begun.
        """
        if action_name not in self._way:
            raise UsageError(f"the action '{action_name}' is stopped, and was not started")
        last = len(self._way) - 1 - self._way[::-1].index(action_name)
        self._go((*self._way[:last], *self._way[last + 1 :]))

    def summary(self) -> str:
        """For each action, the functions that ran within it, those first that took longest."""
        way = self._way
        self._go(())
        found = {}
        for action in dict.fromkeys(name for key in self._profiles for name in key):
            text = io.StringIO()
            profiles = [profile for key, profile in self._profiles.items() if action in key]
            stats = pstats.Stats(profiles[0], stream=text)
            for other in profiles[1:]:
                stats.add(other)
            if self.dump_stats:
                self._dump(action, stats)
            stats.strip_dirs().sort_stats("cumulative").print_stats(self.line_count_restriction)
            found[action] = text.getvalue().strip()
        self._go(way)
        return self.sections(found) if found else ""

    def teardown(self, stage: str | None) -> None:
        """Stop measuring, whatever is still running."""
        self._go(())

    def _go(self, way: tuple[str, ...]) -> None:
        """Measure with the profile of another way."""
        if self._way:
            self._profiles[self._way].disable()
        self._way = way
        if way:
            if way not in self._profiles:
                self._profiles[way] = cProfile.Profile()
            self._profiles[way].enable()

    def _dump(self, action: str, stats: pstats.Stats) -> None:
        if self.dirpath is None:
            raise UsageError("AdvancedProfiler(dump_stats=True) needs a folder: pass dirpath=...")
        path = Path(self.dirpath) / self.file_name(action, ".prof")
        path.parent.mkdir(parents=True, exist_ok=True)
        stats.dump_stats(path)
