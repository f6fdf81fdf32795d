"""What every profiler offers."""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.progress import terminal_progress
from lifecycle.train.tables import notes_wanted

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)


class Profiler(ABC):
    """Measures actions, by name; profilers of one's own derive from it.

    The trainer's own actions have Lightning's names: ``run_training_batch``,
    ``[LightningModule]Net.on_train_start`` and so on. Modules may measure theirs with
    ``with profiler.profile("name"):``.

    The report goes to a file if `filename` is given, else to the log, at level INFO, where a program has set
    logging up to show that, and to standard error where it has not.

    Args:
        dirpath: Where files go; by default the folder of the trainer's first logger.
        filename: Of the report, without ``.txt``; the stage is put in front of it.
    """

    def __init__(self, dirpath: str | Path | None = None, filename: str | None = None) -> None:
        self.dirpath = dirpath
        self.filename = filename
        self._stage: str | None = None
        self._local_rank: int | None = None

    @abstractmethod
    def start(self, action_name: str) -> None:
        """An action begins."""

    @abstractmethod
    def stop(self, action_name: str) -> None:
        """An action has ended."""

    @contextmanager
    def profile(self, action_name: str) -> Iterator[str]:
        """Measure what happens within, as one run of an action."""
        self.start(action_name)
        try:
            yield action_name
        finally:
            self.stop(action_name)

    def summary(self) -> str:
        """The report; empty if there is nothing to say."""
        return ""

    def describe(self) -> None:
        """Write the report."""
        text = self.summary()
        if not text:
            return
        if self.filename and self.dirpath:
            path = Path(self.dirpath) / self.file_name()
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(text.rstrip("\n") + "\n")
            log.info("profiler report: %s", path)
        elif self._local_rank in (None, 0):
            _show(text)

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """A stage of the trainer begins.

        Args:
            stage: ``fit``, ``validate``, ``test`` or ``predict``.
            local_rank: Of this process, if there are several.
            log_dir: Where files go if nobody said otherwise.
        """
        self._stage = stage
        self._local_rank = local_rank
        self.dirpath = self.dirpath or log_dir

    def watch(self, module: nn.Module) -> None:
        """Be told the module that is at work, after `setup`."""
        return None

    def teardown(self, stage: str | None) -> None:
        """The stage has ended, in whatever way: measure no more."""
        return None

    @property
    def local_rank(self) -> int:
        """Of this process on its machine."""
        return self._local_rank or 0

    def file_name(self, action_name: str | None = None, extension: str = ".txt") -> str:
        """The name of a file for the report, or for an action."""
        rank = None if self._local_rank is None else str(self._local_rank)
        parts = (self._stage, self.filename, rank, action_name)
        name = re.sub(r'[\\/:*?"<>|\s]+', "_", "-".join(part for part in parts if part))
        return (name or "profile") + extension

    def sections(self, found: Mapping[str, str]) -> str:
        """A report of several parts, each under its action's name."""
        title = f"{self._stage.upper()} Profiler Report" if self._stage else "Profiler Report"
        return "\n\n".join([title, *(f"Profile stats for: {name}\n{text}" for name, text in found.items())])


def _show(text: str) -> None:
    if log.isEnabledFor(logging.INFO) and log.hasHandlers():
        log.info("\n%s", text)
    elif notes_wanted(log):
        terminal_progress().note(text)
