"""Where long work says how far it is: a bar with rate and remaining time on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol

from lifecycle.core.secrets import mask

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import ProgressColumn, TaskID

_LINE_EVERY_S = 5.0


class Progress(Protocol):
    """Where long work says how far it is."""

    def update(self, text: str, done: int, total: int) -> None:
        """`done` of `total` units are finished; `text` says what of and how it goes."""

    def note(self, text: str) -> None:
        """One line that stays."""

    def close(self) -> None:
        """The work has ended; a bar is taken down."""


class NullProgress:
    """Says nothing."""

    def update(self, text: str, done: int, total: int) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Say nothing."""


class LineProgress:
    """For logs and pipes: a line when something ends, and one every few seconds until then."""

    def __init__(self) -> None:
        self._shown = 0.0

    def update(self, text: str, done: int, total: int) -> None:
        """Print a line if this is the first in a while or the last."""
        now = time.monotonic()
        self._shown = self._shown or now
        if done >= total or now - self._shown > _LINE_EVERY_S:
            self._shown = now
            print(f"  {text}  {done}/{total}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Print a line."""
        print(mask(text), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing to take down."""


class BarProgress:
    """For terminals: one bar, redrawn ten times a second, with units a second and the time remaining."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._done = 0

    def update(self, text: str, done: int, total: int) -> None:
        """Move the bar; a new one begins when the count goes back."""
        if self._bar is None or done < self._done:
            self.close()
            self._bar, self._task = _new_bar(total)
        assert self._task is not None
        self._done = done
        self._bar.update(self._task, completed=done, total=total, description=text)

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        text = mask(text)
        if self._bar is None:
            print(text, file=sys.stderr, flush=True)
        else:
            self._bar.console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        """Take the bar down; notes stay."""
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._task, self._done = None, None, 0


def _new_bar(total: int) -> tuple[RichProgress, TaskID]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    bar = RichProgress(
        TextColumn("  {task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _speed_column(),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # what a script prints into a file belongs there
    )
    bar.start()
    return bar, bar.add_task("", total=total)


def _speed_column() -> ProgressColumn:
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.0f}/s" if speed else "")

    return Speed()


def terminal_progress() -> Progress:
    """The bar where standard error is a terminal, lines where it is a file or a pipe."""
    return BarProgress() if sys.stderr.isatty() else LineProgress()
