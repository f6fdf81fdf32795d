"""Where long work says how far it is: a bar with rate and remaining time on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from lifecycle.core.colour import colourful
from lifecycle.core.secrets import mask

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import ProgressColumn, TaskID

_LINE_EVERY_S = 5.0
_TELLS_S = 2.0  # before that a rate says nothing
_quiet: ContextVar[bool] = ContextVar("quiet", default=False)
T = TypeVar("T")


def hush(quiet: bool = True) -> None:
    """Let all progress that is asked for from now on say nothing; or speak again."""
    _quiet.set(quiet)


def hushed() -> bool:
    """Whether nothing but results, warnings and errors is wanted."""
    return _quiet.get()


class Progress(Protocol):
    """Where long work says how far it is."""

    def update(self, text: str, done: int, total: int) -> None:
        """`done` of `total` units are finished; `text` says what of and how it goes.

        A `total` of 0 is one that nobody knows: that it goes on, and for how long, is all there is to say.
        """

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
        self._shown = self._began = 0.0
        self._first = self._done = 0

    def update(self, text: str, done: int, total: int) -> None:
        """Print a line if this is the first in a while or the last."""
        now = time.monotonic()
        if done < self._done or not self._began:
            self._began, self._first = now, done
        self._done = done
        self._shown = self._shown or now
        if total and (done >= total or now - self._shown > _LINE_EVERY_S):
            self._shown = now
            pace = _pace(done - self._first, total - done, now - self._began)
            print(f"  {text}  {done}/{total}{pace}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Print a line."""
        print(mask(text), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing to take down."""


def _pace(done: int, left: int, took_s: float) -> str:
    """Units a second, and the time that is left.

    >>> _pace(30, 60, 10.0), _pace(30, 0, 10.0), _pace(1, 1, 0.1)
    ('  3/s, 20 s left', '  3/s', '')
    """
    if took_s < _TELLS_S or done <= 0:
        return ""
    rate = f"{done / took_s:.3g}/s"
    return f"  {rate}, {left * took_s / done:.0f} s left" if left > 0 else f"  {rate}"


class BarProgress:
    """For terminals: one bar, redrawn ten times a second, with units a second and the time remaining.

    Args:
        still: Redrawn by `update` alone, at most four times a second: no thread takes part in what is timed.
    """

    def __init__(self, *, still: bool = False) -> None:
        self._still = still
        self._drawn = 0.0
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._done = 0

    def update(self, text: str, done: int, total: int) -> None:
        """Move the bar; a new one begins when the count goes back."""
        if self._bar is None or done < self._done:
            self.close()
            self._bar, self._task = _new_bar(total, still=self._still)
        assert self._task is not None
        self._done = done
        now = time.monotonic()
        draw = self._still and (now - self._drawn > 0.25 or done >= total)
        self._drawn = now if draw else self._drawn
        self._bar.update(self._task, completed=done, total=total or None, description=text, refresh=draw)

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


def _new_bar(total: int, *, still: bool) -> tuple[RichProgress, TaskID]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as RichProgress

    known = (MofNCompleteColumn(), _speed_column(), TimeRemainingColumn(compact=True))
    bar = RichProgress(
        TextColumn("  {task.description}", markup=False),
        BarColumn(bar_width=24),
        *(known if total else (TimeElapsedColumn(),)),
        console=Console(stderr=True, no_color=not colourful(sys.stderr)),
        auto_refresh=not still,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # what a script prints into a file belongs there
    )
    bar.start()
    return bar, bar.add_task("", total=total or None)


def _speed_column() -> ProgressColumn:
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.0f}/s" if speed else "")

    return Speed()


def terminal_progress() -> Progress:
    """The bar where standard error is a terminal, lines where it is a file or a pipe; nothing when hushed."""
    if hushed():
        return NullProgress()
    return BarProgress() if sys.stderr.isatty() else LineProgress()


def still(progress: Progress) -> Progress:
    """The same, fit for being told of what is timed: no thread of it takes part."""
    return BarProgress(still=True) if isinstance(progress, BarProgress) else progress


@contextmanager
def timed(progress: Progress, text: str) -> Iterator[Callable[[int, int], None]]:
    """What is told between two calls that are timed: how many are done, of how many."""
    shown = still(progress)
    try:
        yield partial(shown.update, text)
    finally:
        shown.close()


@contextmanager
def busy(progress: Progress, text: str) -> Iterator[None]:
    """Say on a terminal that something goes on whose end is not known, and for how long it has."""
    progress.update(text, 0, 0)
    try:
        yield
    finally:
        progress.close()


def working(text: str) -> AbstractContextManager[None]:
    """The same, where nobody was given any progress to tell."""
    return busy(terminal_progress(), text)


def tracked(progress: Progress, text: str, items: Sequence[T]) -> Iterator[T]:
    """The same items, while it is said how many are done, how fast, and how long it will take."""
    try:
        for done, item in enumerate(items):
            progress.update(text, done, len(items))
            yield item
    finally:
        progress.close()
