"""Metrics in a CSV file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lifecycle.core.errors import UsageError
from lifecycle.train.loggers.base import prefixed
from lifecycle.train.loggers.folder import FolderLogger
from lifecycle.train.loggers.metrics_file import MetricsFile


class ExperimentWriter:
    """Collects rows for ``metrics.csv``.

    A version that was written to before is continued: its rows stay.

    Args:
        log_dir: The folder of the run; it has to be there.

    Attributes:
        metrics: Rows that are not yet in the file.
        metrics_file_path: The file.
    """

    NAME_METRICS_FILE = "metrics.csv"

    def __init__(self, log_dir: str | Path) -> None:
        self.log_dir = str(log_dir)
        self.metrics: list[dict[str, Any]] = []
        self._file = MetricsFile(Path(log_dir))
        self.metrics_file_path = str(self._file.path)
        last = self._file.last_step()
        self._next = 0 if last is None else last + 1

    def log_metrics(self, metrics_dict: Mapping[str, Any], step: int | None = None) -> int:
        """Add a row; returns its step, by default the one after the last."""
        at = self._next if step is None else step
        self._next = at + 1
        row = {
            name: value.item() if hasattr(value, "item") else value for name, value in metrics_dict.items()
        }
        self.metrics.append({**row, "step": at})
        return at

    def save(self) -> None:
        """Write the rows down.

        Raises:
            OSError: the file cannot be written; the rows are kept.
        """
        self._file.append(self.metrics)
        self.metrics = []


class CSVLogger(FolderLogger):
    """Writes ``metrics.csv`` and ``hparams.yaml``.

    The file is whole whenever the process dies: at worst the rows are missing that were not yet saved. New
    names become columns. A version that is there is continued: its rows stay, and new ones follow them.

    Args:
        save_dir: Below it lies everything.
        name: A folder below; None for none.
        version: A number for ``version_N``, or a folder's name; by default the next number.
        prefix: Begins every metric's name.
        flush_logs_every_n_steps: After how many steps, at the latest, rows are written down.
    """

    def __init__(
        self,
        save_dir: str | Path,
        name: str | None = "lightning_logs",
        version: int | str | None = None,
        prefix: str = "",
        flush_logs_every_n_steps: int = 100,
    ) -> None:
        super().__init__(save_dir, name, version, prefix)
        if flush_logs_every_n_steps < 1:
            raise UsageError(
                f"CSVLogger(flush_logs_every_n_steps={flush_logs_every_n_steps}): expected a whole number of "
                "at least 1"
            )
        self._every_n = flush_logs_every_n_steps
        self._saved_at: int | None = None
        self._experiment: ExperimentWriter | None = None

    @property
    def experiment(self) -> ExperimentWriter:
        """What collects the rows."""
        if self._experiment is None:
            self._experiment = ExperimentWriter(self.made())
        return self._experiment

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add a row; without a step it is the one after the last."""
        at = self.experiment.log_metrics(prefixed(metrics, self._prefix, self.LOGGER_JOIN_CHAR), step)
        if self._saved_at is None:
            self._saved_at = at - at % self._every_n - 1
        if at - self._saved_at >= self._every_n or len(self.experiment.metrics) >= self._every_n:
            self.save()
            self._saved_at = at

    def save(self) -> None:
        """Write the rows down."""
        if self._experiment is not None:
            self._experiment.save()
