"""Recording a pipeline's runs: a parent, a child for each stage, whatever becomes of the tracking server."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.connection import connect, shown, tracking_uri
from lifecycle.core import interrupt
from lifecycle.core.canonical import JSON, readable_json
from lifecycle.core.errors import LifecycleError
from lifecycle.core.secrets import mask
from lifecycle.core.stage import Tracker
from lifecycle.tracking.courier import Courier
from lifecycle.tracking.delivery import Delivery, waiting_folder
from lifecycle.tracking.experiment import reap
from lifecycle.tracking.machine import sampled
from lifecycle.tracking.points import Points
from lifecycle.tracking.spool import Spool, left_behind
from lifecycle.train.loggers.mlflow_run import MLFlowRun
from lifecycle.train.loggers.record import Record
from lifecycle.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

PATIENCE_S = 10.0  # for what cannot go on without MLflow, and for the last records of a run
BRIEFLY_S = 2.0


class Recorder:
    """Records the runs of one process: on disk first, from there to MLflow.

    Args:
        workspace: Held by this process.
        experiment: The experiment of its runs.
        tell: Told what people should know.
    """

    def __init__(self, workspace: Workspace, experiment: str, tell: Callable[[str], None]) -> None:
        self.workspace = workspace
        self.experiment = experiment
        self.spool = Spool.new(waiting_folder(workspace))
        self.courier = Courier(self.spool, self._connect, tell)
        self._tell = tell

    @contextmanager
    def run(
        self, name: str, tags: Mapping[str, str], parent: RecordedRun | None = None, *, sample: bool = False
    ) -> Iterator[RecordedRun]:
        """A run that ends as FINISHED, FAILED or KILLED, whatever happens within.

        Args:
            name: What it is called.
            tags: Short texts about it.
            parent: The run that it is part of.
            sample: Whether to record what it takes of processor and memory.
        """
        run = RecordedRun(self, uuid.uuid4().hex)
        above = None if parent is None else parent.record
        about: dict[str, JSON] = {"experiment": self.experiment, "name": name, "tags": dict(tags)}
        run.write("run", durable=True, parent=above, at_ms=_now_ms(), **about)
        if self.courier.error is None:
            self.courier.flush(BRIEFLY_S)
        status = "FINISHED"
        try:
            with sampled(run.log_metrics) if sample else nullcontext():
                yield run
        except BaseException as error:
            stopped = interrupt.received() is not None or not isinstance(error, Exception)
            status = "KILLED" if stopped else "FAILED"
            raise
        finally:
            self._end(run, status)

    def _end(self, run: RecordedRun, status: str) -> None:
        """Set a status, without hiding why a run failed."""
        try:
            run.write("end", durable=True, status=status, at_ms=_now_ms())
        except OSError as error:
            if status == "FINISHED":
                raise
            logging.getLogger(__name__).warning("run %s is not marked %s: %s", run.record, status, error)

    def close(self) -> None:
        """Deliver what is left, or say where it waits."""
        delivered = self.courier.flush(PATIENCE_S if self.courier.error is None else BRIEFLY_S)
        if not self.spool.close() or not delivered:
            where = shown(tracking_uri(self.workspace))
            self._tell(
                f"MLflow at {where} has not got {len(self.spool)} records of this run: they wait in "
                f"{waiting_folder(self.workspace)}, and the next command delivers them"
            )

    def _connect(self) -> Delivery:
        client = connect(self.workspace)
        for _ in range(catch_up(client, self.workspace, but=self.spool.path)):
            self._tell("a run that was killed is marked so in MLflow")
        return Delivery(client, self.workspace)


def catch_up(client: MlflowClient, workspace: Workspace, *, but: Path | None = None) -> int:
    """Deliver what processes that have ended left waiting, and end the runs that they left running.

    Args:
        client: Connected to the tracking store.
        workspace: Held by this process.
        but: The file of the process itself.

    Returns:
        How many runs were left running.
    """
    delivery = Delivery(client, workspace)
    for spool in left_behind(waiting_folder(workspace)):
        if spool.path != but:
            delivery.give(spool)
            spool.close()
    return reap(client, workspace.identity)


class RecordedRun:
    """One run; what its methods are given is on disk when they return, or within a second.

    Attributes:
        record: Our own name of it.
        points: What was logged at its steps.
    """

    in_background = True  # numbers of many steps come together

    def __init__(self, recorder: Recorder, record: str) -> None:
        self.record = record
        self.points = Points()
        self._recorder = recorder

    @property
    def run_id(self) -> str | None:
        """MLflow's id of it; None while MLflow does not know of it."""
        return self._recorder.spool.runs.get(self.record)

    def live(self, patience_s: float = PATIENCE_S) -> MLFlowRun:
        """The run in MLflow, for what cannot be recorded for later.

        Args:
            patience_s: For how long to try while MLflow does not answer.

        Raises:
            LifecycleError: MLflow does not answer.
        """
        courier = self._recorder.courier
        delivered = courier.flush(patience_s)
        run_id = self.run_id
        if not delivered or courier.delivery is None or run_id is None:
            reason = str(courier.error or "it takes too long").strip().partition("\n")[0]
            raise LifecycleError(
                f"this needs MLflow, and MLflow cannot be used: {reason}",
                hint="What was made is kept: the same command goes on from here once MLflow answers.",
            )
        return MLFlowRun(courier.delivery.client, run_id)

    def log_params(self, params: Mapping[str, JSON]) -> None:
        """Record options."""
        texts = {name: mask(value) if isinstance(value, str) else value for name, value in params.items()}
        self.write("params", params=texts)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers at a step of training; without one, at the last."""
        self.log_records([Record(metrics, step, time.time())])

    def log_records(self, records: Sequence[Record]) -> None:
        """Record numbers of many steps at once."""
        self.points.add(records)
        lines: list[JSON] = [
            [{name: _text_or_number(value) for name, value in metrics.items()}, step, time_s]
            for metrics, step, time_s in records
        ]
        self.write("metrics", records=lines)

    def log_artifacts(self, folder: Path, to: str = "") -> None:
        """Record every file of a folder; one that is not a finished artifact of the workspace is copied."""
        root = self._recorder.workspace.path
        kept = folder if folder.is_relative_to(root / "cache") else self._recorder.spool.copy(folder)
        self.write("files", folder=kept.relative_to(root).as_posix(), to=to)

    def log_json(self, name: str, content: JSON) -> None:
        """Record a file of JSON."""
        folder = self._recorder.spool.copies / uuid.uuid4().hex
        folder.mkdir(parents=True)
        (folder / name).write_bytes(readable_json(content))
        self.write("files", folder=folder.relative_to(self._recorder.workspace.path).as_posix(), to="")

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record short texts."""
        self.write("tags", tags={name: mask(text) for name, text in tags.items()})

    def write(self, do: str, *, durable: bool = False, **content: JSON) -> None:
        """Record one thing that was done to the run."""
        self._recorder.spool.append({"do": do, "run": self.record, **content}, durable=durable)
        self._recorder.courier.wake()


class PipelineRun:
    """The parent run of a pipeline, and what opens a child run for each of its stages.

    Args:
        recorder: Records both.
        parent: The parent run.
        tags: Of every child: where the code stands, say.
    """

    def __init__(
        self, recorder: Recorder, parent: RecordedRun, tags: Mapping[str, str] | None = None
    ) -> None:
        self.recorder = recorder
        self.parent = parent
        self.tags = dict(tags or {})

    def stage(self, name: str) -> AbstractContextManager[Tracker]:
        """A child run for one stage."""
        return self.recorder.run(name, {"lifecycle.stage": name, **self.tags}, self.parent, sample=True)


@contextmanager
def recording(workspace: Workspace, experiment: str, tell: Callable[[str], None]) -> Iterator[Recorder]:
    """Record runs for as long as a command works.

    Args:
        workspace: Held by this process.
        experiment: The experiment of its runs; made if it is not there.
        tell: Told what people should know.

    Raises:
        LifecycleError: the store cannot be used; a server that is away is waited out.
    """
    recorder = Recorder(workspace, experiment, tell)
    recorder.courier.open()
    try:
        yield recorder
    finally:
        recorder.close()


def _now_ms() -> int:
    return int(time.time() * 1000)


def _text_or_number(value: float) -> JSON:
    """JSON has no spelling of NaN and infinities; Python's own reads them back."""
    number = float(value)
    return number if number - number == 0 else str(number)
