"""The one writer to MLflow: the trainer logs through it, and so does every stage of a pipeline."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifecycle.core.canonical import JSON
from lifecycle.core.secrets import mask
from lifecycle.train.loggers.record import Record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

_NAME_LIMIT = 250
_PARAM_LIMIT = 6000
_TAG_LIMIT = 8000

log = logging.getLogger(__name__)


class MLFlowRun:
    """Writes to one run, named by its id: MLflow's "active run" belongs to a thread and is not used.

    It may be used in several threads. What a method was given is in the store when it returns, also where
    ``MLFLOW_ENABLE_ASYNC_LOGGING`` is set.

    Args:
        client: Connected to a tracking server or store.
        run_id: The run to write to; it is neither started nor ended here.
    """

    in_background = True  # a request takes milliseconds, or as long as the network likes

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.client = client
        self.run_id = run_id
        self._last_step = 0
        self._renamed: set[str] = set()
        self._lock = threading.Lock()

    def log_params(self, params: Mapping[str, JSON]) -> None:
        """Record options; what is not text is written as JSON."""
        from mlflow.entities import Param

        entries = [
            Param(
                self._name(name), mask(value if isinstance(value, str) else json.dumps(value))[:_PARAM_LIMIT]
            )
            for name, value in params.items()
        ]
        for part in _parts(entries, 100):
            self.client.log_batch(self.run_id, params=part, synchronous=True)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers at a step of training.

        Without a step they stand at the last one: MLflow shows the value of the highest step, and what is
        said of a run when it has ended is to be that value. NaN is kept as such; of infinities MLflow's
        stores make the greatest number there is.
        """
        self.log_records([Record(metrics, step, time.time())])

    def log_records(self, records: Sequence[Record]) -> None:
        """Record numbers of many steps at once; those that were recorded before are not recorded twice."""
        from mlflow.entities import Metric

        entries: list[Metric] = []
        with self._lock:
            for record in records:
                at = self._last_step if record.step is None else record.step
                self._last_step = max(self._last_step, at)
                when = int(record.time_s * 1000)
                entries += [Metric(self._name(n), float(v), when, at) for n, v in record.metrics.items()]
        for part in _parts(entries, 1000):
            self.client.log_batch(self.run_id, metrics=part, synchronous=True)

    def log_artifacts(self, folder: Path, to: str = "") -> None:
        """Copy every file of a folder to the run."""
        self.client.log_artifacts(self.run_id, str(folder), to or None)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record short texts."""
        from mlflow.entities import RunTag

        entries = [RunTag(name, mask(text)[:_TAG_LIMIT]) for name, text in tags.items()]
        self.client.log_batch(self.run_id, tags=entries, synchronous=True)

    def _name(self, name: str) -> str:
        """The name without what MLflow does not take in one."""
        kept = re.sub(r"[^\w/. :-]", "", name)
        kept = "/".join(part for part in kept.split("/") if part not in ("", ".", ".."))[:_NAME_LIMIT] or "_"
        if kept != name and name not in self._renamed:
            self._renamed.add(name)
            log.warning("MLflow takes no name %r: it is recorded as %r", name, kept)
        return kept


def _parts(entries: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(entries), size):
        yield entries[start : start + size]
