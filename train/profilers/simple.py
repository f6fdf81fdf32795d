"""How long each action takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lifecycle.core.errors import UsageError
from lifecycle.train.profilers.base import Profiler


@dataclass(slots=True)
class Duration:
    """How long the runs of an action took."""

    count: int = 0
    total_s: float = 0.0

    @property
    def mean_s(self) -> float:
        """Of one run."""
        return self.total_s / self.count


class SimpleProfiler(Profiler):
    """Measures how often and how long each action runs.

    Actions lie within each other, so their times add up to more than the whole.

    Args:
        dirpath: Where the report goes, if it goes to a file.
        filename: Of the report, without ``.txt``.
        extended: Show how often each action ran and its share of the whole time; the report then begins with
            what took longest in all, otherwise with what took longest on average.
        clock: Seconds, that only ever grow.

    Attributes:
        recorded: By action.
    """

    def __init__(
        self,
        dirpath: str | Path | None = None,
        filename: str | None = None,
        extended: bool = True,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__(dirpath, filename)
        self.extended = extended
        self.recorded: dict[str, Duration] = {}
        self._clock = clock
        self._begun: dict[str, float] = {}
        self._since = clock()

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """Begin anew: a report is that of one stage."""
        super().setup(stage, local_rank, log_dir)
        self.recorded, self._begun, self._since = {}, {}, self._clock()

    def start(self, action_name: str) -> None:
        """An action begins.

        Raises:
            UsageError: it has begun already.
        """
        if action_name in self._begun:
            raise UsageError(f"the action '{action_name}' is started, and was not stopped since it last was")
        self._begun[action_name] = self._clock()

    def stop(self, action_name: str) -> None:
        """An action has ended.

        Raises:
            UsageError: it has not begun.
        """
        now = self._clock()
        begun = self._begun.pop(action_name, None)
        if begun is None:
            raise UsageError(f"the action '{action_name}' is stopped, and was not started")
        found = self.recorded.setdefault(action_name, Duration())
        found.count += 1
        found.total_s += now - begun

    def summary(self) -> str:
        """A table of actions."""
        whole_s = self._clock() - self._since
        rows = self._extended(whole_s) if self.extended else self._plain()
        return f"{self.sections({})}\n\n{_table(rows)}\n"

    def _extended(self, whole_s: float) -> list[Sequence[str]]:
        calls = sum(found.count for found in self.recorded.values())
        ordered = sorted(self.recorded.items(), key=lambda item: item[1].total_s, reverse=True)
        return [
            ("Action", "Mean duration (s)", "Num calls", "Total time (s)", "Percentage %"),
            ("Total", "-", str(calls), f"{whole_s:.5g}", "100"),
            *(
                (
                    name,
                    f"{found.mean_s:.5g}",
                    str(found.count),
                    f"{found.total_s:.5g}",
                    f"{100 * found.total_s / whole_s:.5g}" if whole_s else "-",
                )
                for name, found in ordered
            ),
        ]

    def _plain(self) -> list[Sequence[str]]:
        ordered = sorted(self.recorded.items(), key=lambda item: item[1].mean_s, reverse=True)
        return [
            ("Action", "Mean duration (s)", "Total time (s)"),
            *((name, f"{found.mean_s:.5g}", f"{found.total_s:.5g}") for name, found in ordered),
        ]


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as what they hold: the first begins, the others end at one place."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(rest, widths[1:], strict=True))])
        for first, *rest in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
