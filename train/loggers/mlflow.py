"""The one writer to MLflow: the trainer logs through it, and so does every stage of a pipeline."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.canonical import JSON

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PARAM_LIMIT = 6000
_TAG_LIMIT = 8000


class MLFlowLogger:
    """Writes to one run, named by its id: MLflow's "active run" belongs to a thread and is not used.

    Args:
        client: Connected to a tracking server or store.
        run_id: The run to write to; it is neither started nor ended here.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.client = client
        self.run_id = run_id
        self._last_step = 0

    def log_params(self, params: Mapping[str, JSON]) -> None:
        """Record options; what is not text is written as JSON."""
        from mlflow.entities import Param

        entries = [
            Param(name, value if isinstance(value, str) else json.dumps(value)[:_PARAM_LIMIT])
            for name, value in params.items()
        ]
        for start in range(0, len(entries), 100):
            self.client.log_batch(self.run_id, params=entries[start : start + 100])

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers at a step of training; those that are not finite are left out.

        Without a step they stand at the last one: MLflow shows the value of the highest step, and what is
        said of a run when it has ended is to be that value.
        """
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        at = self._last_step if step is None else step
        self._last_step = max(self._last_step, at)
        entries = [Metric(name, value, now, at) for name, value in metrics.items() if math.isfinite(value)]
        for start in range(0, len(entries), 1000):
            self.client.log_batch(self.run_id, metrics=entries[start : start + 1000])

    def log_artifacts(self, folder: Path, to: str = "") -> None:
        """Copy every file of a folder to the run."""
        self.client.log_artifacts(self.run_id, str(folder), to or None)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record short texts."""
        from mlflow.entities import RunTag

        self.client.log_batch(
            self.run_id, tags=[RunTag(name, text[:_TAG_LIMIT]) for name, text in tags.items()]
        )
