"""A progress bar drawn by rich."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks.progress import Kind, ProgressBar
from lifecycle.train.callbacks.readings import Value

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID
    from rich.style import Style

    from lifecycle.train.trainer import Trainer


@dataclass
class RichProgressBarTheme:
    """Styles of the parts, as rich spells them (https://rich.readthedocs.io/en/stable/style.html).

    Attributes:
        description: Of what is at work: the epoch, or validation.
        progress_bar: Of the part that is done.
        progress_bar_finished: Of a bar that is full.
        progress_bar_pulse: Of a bar whose end is not known.
        batch_progress: Of the batches, done and in all.
        time: Of the time passed and remaining.
        processing_speed: Of the batches a second.
        metrics: Of the metrics.
        metrics_text_delimiter: Stands between two metrics.
        metrics_format: How a fraction is written.
    """

    description: str | Style = ""
    progress_bar: str | Style = "#6206E0"
    progress_bar_finished: str | Style = "#6206E0"
    progress_bar_pulse: str | Style = "#6206E0"
    batch_progress: str | Style = ""
    time: str | Style = "dim"
    processing_speed: str | Style = "dim underline"
    metrics: str | Style = "italic"
    metrics_text_delimiter: str = " "
    metrics_format: str = ".3f"


class RichProgressBar(ProgressBar):
    """Bars on standard error: one of the epoch, and below it one of the validation while that runs.

    Where standard error is no terminal, it prints a line every few seconds.

    Args:
        refresh_rate: Redraw at most so often in a second, and never more than ten times; 0 shows nothing.
        leave: Leave the bar of each epoch where it was, and begin a new one below it.
        theme: Styles of the parts.
        console_kwargs: Arguments for ``rich.console.Console``.

    Raises:
        UsageError: `refresh_rate` is below 0.
    """

    def __init__(
        self,
        refresh_rate: int = 100,
        leave: bool = False,
        theme: RichProgressBarTheme | None = None,
        console_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if refresh_rate < 0:
            raise UsageError(
                f"RichProgressBar(refresh_rate={refresh_rate}): expected times a second, 0 for never"
            )
        self._refresh_rate = refresh_rate
        self._leave = self._each_epoch = leave
        self._console_kwargs = console_kwargs or {}
        self._tasks: dict[Kind, TaskID] = {}
        self._shown: dict[Kind, str] = {}  # what each is called
        self.theme = theme or RichProgressBarTheme()
        self.progress: Progress | None = None
        self.every_s = max(self.every_s, 1 / refresh_rate) if refresh_rate else math.inf

    def __getstate__(self) -> dict[str, object]:
        """What a copy takes over: not the bar on the screen."""
        return {**self.__dict__, "progress": None, "_tasks": {}, "_shown": {}}

    @property
    def refresh_rate(self) -> int:
        """How often in a second it is redrawn at most."""
        return self._refresh_rate

    @property
    def is_enabled(self) -> bool:
        """Whether anything is shown."""
        return self._enabled and self._refresh_rate > 0

    def configure_columns(self, trainer: Trainer) -> list[ProgressColumn]:
        """The columns, but for that of the metrics, which is the last; override it to have others."""
        from rich.progress import BarColumn, TextColumn
        from rich.table import Column

        theme = self.theme
        return [
            TextColumn(
                "{task.description}", style=theme.description, markup=False, table_column=Column(no_wrap=True)
            ),
            BarColumn(
                bar_width=24,  # leaves room for metrics
                complete_style=theme.progress_bar,
                finished_style=theme.progress_bar_finished,
                pulse_style=theme.progress_bar_pulse,
            ),
            *_counting_columns(theme),
        ]

    def draw(
        self, kind: Kind, description: str, done: int, total: int | None, metrics: Mapping[str, Value]
    ) -> None:
        """Redraw one of the bars; see `ProgressBar.draw`."""
        epochs = self.trainer.max_epochs or -1
        if kind == "train" and epochs > 0:
            description += f"/{epochs - 1}"
        begins = self._shown.get(kind) != description
        if begins and kind == "train" and self._leave:
            self.stop()
        bar = self._bar()
        if bar is None:
            super().draw(kind, description, done, total, metrics)
            return
        text = self._metrics_text(metrics)
        # Each of these draws once.
        if kind not in self._tasks:
            self._tasks[kind] = bar.add_task(description, completed=done, total=total, metrics=text)
        elif begins:
            bar.reset(self._tasks[kind], completed=done, total=total, description=description, metrics=text)
        else:
            bar.update(self._tasks[kind], completed=done, total=total, metrics=text, refresh=True)
        self._shown[kind] = description

    def end(self, kind: Kind) -> None:
        """Within a fit the bar of a validation vanishes; any other stays."""
        if self.progress is not None and kind in self._tasks and self._stage == "fit" and kind != "train":
            self.progress.remove_task(self._tasks.pop(kind))

    def stop(self) -> None:
        """Leave the bars as they are."""
        super().stop()
        if self.progress is not None:
            self.progress.stop()
        self.progress, self._tasks, self._shown = None, {}, {}

    def _bar(self) -> Progress | None:
        """What rich draws with; None without a terminal."""
        if self.progress is None and not self._lines:
            from rich.console import Console
            from rich.progress import Progress, TextColumn

            console = Console(**{"stderr": True, **self._console_kwargs})
            if not (console.is_interactive or console.is_jupyter):
                self.print_lines()
                return None
            self.progress = Progress(
                *self.configure_columns(self.trainer),
                TextColumn("{task.fields[metrics]}", style=self.theme.metrics, markup=False),
                console=console,
                auto_refresh=False,
                # What a program writes to a file is not to end up on the screen.
                redirect_stdout=sys.stdout.isatty(),
            )
            self.progress.start()
        return self.progress

    def _metrics_text(self, metrics: Mapping[str, Value]) -> str:
        style = self.theme.metrics_format
        return self.theme.metrics_text_delimiter.join(
            f"{name}: {value:{style}}" if isinstance(value, float) else f"{name}: {value}"
            for name, value in metrics.items()
        )


def _counting_columns(theme: RichProgressBarTheme) -> list[ProgressColumn]:
    """Batches, times, and batches a second."""
    from datetime import timedelta

    from rich.progress import ProgressColumn, Task
    from rich.table import Column
    from rich.text import Text

    class Batches(ProgressColumn):
        def render(self, task: Task) -> Text:
            total = "--" if task.total is None else int(task.total)
            return Text(f"{int(task.completed)}/{total}", style=theme.batch_progress)

    class Times(ProgressColumn):
        def render(self, task: Task) -> Text:
            passed = task.finished_time if task.finished else task.elapsed
            texts = [
                "-:--:--" if seconds is None else str(timedelta(seconds=int(seconds)))
                for seconds in (passed, task.time_remaining)
            ]
            return Text(" • ".join(texts), style=theme.time)

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.finished_speed or task.speed or 0:.2f}it/s", style=theme.processing_speed)

    return [column(table_column=Column(no_wrap=True)) for column in (Batches, Times, Speed)]
