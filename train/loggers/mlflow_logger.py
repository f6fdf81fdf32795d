"""Metrics in MLflow."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lifecycle.core.errors import UsageError
from lifecycle.train.loggers.base import Logger, Parameters, prefixed
from lifecycle.train.loggers.kept import Kept, kept_by
from lifecycle.train.loggers.mlflow_run import MLFlowRun
from lifecycle.train.loggers.mlflow_store import connect, find_store
from lifecycle.train.loggers.parameters import flattened
from lifecycle.train.loggers.record import Record

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from lifecycle.train.callbacks.base import Callback

_STATUS = {
    "success": "FINISHED",
    "finished": "FINISHED",
    "failed": "FAILED",
    "aborted": "KILLED",
    "interrupted": "KILLED",
}

log = logging.getLogger(__name__)


class MLFlowLogger(Logger):
    """Writes to a run of an MLflow server or database.

    Nothing is touched before something is logged, or `run_id`, `experiment_id`, `name`, `version` or
    `experiment` is asked for.

    Args:
        experiment_name: The experiment; made if it is not there.
        run_name: What the new run is called; by default MLflow invents something.
        tracking_uri: A server or database. By default that of the environment variable
            ``MLFLOW_TRACKING_URI``, and without it a SQLite database ``mlflow.db`` in `save_dir`, with the
            files of its runs in ``mlartifacts`` beside it: MLflow no longer writes to bare folders, so for
            ``file:FOLDER`` too a database in that folder is used, and a warning says so.
        tags: Of the new run.
        save_dir: See `tracking_uri`.
        log_model: ``True`` copies the checkpoints that are there at the end of a fit to the run; ``"all"``,
            or a `ModelCheckpoint` with ``save_top_k=-1``, each one as it is saved.
        prefix: Begins every metric's name.
        artifact_location: Where the files of a new experiment go; by default the store decides.
        run_id: A run to continue. A hyperparameter that it has cannot be changed: it keeps its value.
        synchronous: ``True`` has training wait for MLflow; otherwise it is written to in a thread.
        checkpoint_path_prefix: A folder of the run that copied checkpoints go to.
    """

    def __init__(
        self,
        experiment_name: str = "lightning_logs",
        run_name: str | None = None,
        tracking_uri: str | None = None,
        tags: dict[str, Any] | None = None,
        save_dir: str | Path | None = "./mlruns",
        log_model: Literal[True, False, "all"] = False,
        prefix: str = "",
        artifact_location: str | None = None,
        run_id: str | None = None,
        synchronous: bool | None = None,
        checkpoint_path_prefix: str = "",
    ) -> None:
        if log_model not in (True, False, "all"):
            raise UsageError(f"MLFlowLogger(log_model={log_model!r}): allowed: True, False, 'all'")
        self.in_background = synchronous is not True
        self.tags = tags
        self._store = find_store(tracking_uri, save_dir)
        self._experiment_name = experiment_name
        self._experiment_id: str | None = None
        self._run_name = run_name
        self._run_id = run_id
        self._log_model = log_model
        self._prefix = prefix
        self._artifact_location = artifact_location
        self._checkpoint_path_prefix = checkpoint_path_prefix
        self._callbacks: list[Callback] = []
        self._copied: dict[Path, float] = {}  # when the file was last changed, that was copied
        self._run: MLFlowRun | None = None
        self._opening = threading.RLock()

    # What it is called

    @property
    def experiment(self) -> MlflowClient:
        """MLflow's client: for whatever else it can record under `run_id`."""
        return self.run.client

    @property
    def run(self) -> MLFlowRun:
        """What writes to the run, which is made or taken up when it is first needed."""
        with self._opening:
            if self._run is None:
                self._run = self._open()
            return self._run

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.run_id

    @property
    def experiment_id(self) -> str | None:
        """The experiment's id."""
        return self._experiment_id if self.run else None

    @property
    def name(self) -> str | None:
        """The experiment's id."""
        return self.experiment_id

    @property
    def version(self) -> str:
        """The run's id."""
        return self.run_id

    @property
    def save_dir(self) -> str | None:
        """The folder of the database, if it is of the logger's own choice."""
        return None if self._store.folder is None else str(self._store.folder)

    # What it records

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record numbers; names lose what MLflow does not take in one."""
        self.run.log_metrics(self._numbers(metrics), step or 0)

    def log_records(self, records: Sequence[Record]) -> None:
        """Record numbers of many steps in one request."""
        self.run.log_records([record._replace(metrics=self._numbers(record.metrics)) for record in records])

    def log_hyperparams(self, params: Parameters | None, *args: Any, **kwargs: Any) -> None:
        """Record hyperparameters, nested ones as ``outer/inner``."""
        wanted = {name: str(value) for name, value in flattened(params).items()}
        there = self.experiment.get_run(self.run_id).data.params
        self.run.log_params({name: value for name, value in wanted.items() if name not in there})
        for name in wanted.keys() & there.keys():
            if wanted[name] != there[name]:
                log.warning(
                    "run %s has %s=%s, and MLflow does not let it be changed to %s",
                    self.run_id,
                    name,
                    there[name],
                    wanted[name],
                )

    def after_save_checkpoint(self, checkpoint_callback: Callback) -> None:
        """Copy what was saved to the run, now or at the end."""
        if self._log_model is False:
            return
        if checkpoint_callback not in self._callbacks:
            self._callbacks.append(checkpoint_callback)
        if self._log_model == "all" or getattr(checkpoint_callback, "save_top_k", None) == -1:
            self._copy(checkpoint_callback)

    def finalize(self, status: str = "success") -> None:
        """End the run, if anything was recorded."""
        if self._run is None:
            return
        try:
            for callback in self._callbacks:
                self._copy(callback)
        finally:
            self._run.client.set_terminated(self._run.run_id, _STATUS.get(status, status.upper()))

    # How

    def _numbers(self, metrics: Mapping[str, Any]) -> dict[str, float]:
        numbers = {}
        for name, value in prefixed(metrics, self._prefix, self.LOGGER_JOIN_CHAR).items():
            if isinstance(value, str):
                log.warning("metric '%s' is the text %r, of which MLflow keeps none", name, value)
            else:
                numbers[name] = float(value)
        return numbers

    def _open(self) -> MLFlowRun:
        client = connect(self._store)
        if self._run_id is not None:
            self._experiment_id = client.get_run(self._run_id).info.experiment_id
            client.update_run(self._run_id, status="RUNNING")
            return MLFlowRun(client, self._run_id)
        from mlflow.tracking.context.registry import resolve_tags

        self._experiment_id = self._find_experiment(client)
        tags = {name: str(value) for name, value in resolve_tags(self.tags).items()}
        run = client.create_run(self._experiment_id, tags=tags, run_name=self._run_name)
        self._run_id = run.info.run_id
        return MLFlowRun(client, self._run_id)

    def _find_experiment(self, client: MlflowClient) -> str:
        from mlflow.exceptions import MlflowException

        name = self._experiment_name
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return client.create_experiment(name, self._artifact_location or self._store.location(name))
            except MlflowException:
                found = client.get_experiment_by_name(name)  # somebody else may have made it in between
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            raise UsageError(
                f"the experiment '{name}' was deleted",
                hint=f"Bring it back with `mlflow experiments restore -x {found.experiment_id}`, or use "
                "another experiment_name.",
            )
        return found.experiment_id

    def _copy(self, callback: Callback) -> None:
        """Copy the checkpoints that are new, or were written anew."""
        for kept in kept_by(callback):
            try:
                changed = kept.path.stat().st_mtime
                if self._copied.get(kept.path) == changed:
                    continue
                self._copy_one(kept)
            except OSError:
                if kept.path.exists():
                    raise
            else:
                self._copied[kept.path] = changed

    def _copy_one(self, kept: Kept) -> None:
        import yaml

        place = "/".join(part for part in (self._checkpoint_path_prefix.strip("/"), kept.path.stem) if part)
        client, run_id = self.experiment, self.run_id
        client.log_artifact(run_id, str(kept.path), place)
        with tempfile.TemporaryDirectory() as folder:
            about = Path(folder)
            (about / "metadata.yaml").write_text(yaml.safe_dump(kept.about))
            (about / "aliases.txt").write_text(str(kept.aliases))
            client.log_artifacts(run_id, folder, place)
