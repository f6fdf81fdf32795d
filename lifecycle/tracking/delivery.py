"""Bringing recorded lines to MLflow: in their order, as often as it takes, each with the effect of one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lifecycle.connection import is_away, shown, tracking_uri
from lifecycle.core.canonical import JSON, sha256
from lifecycle.tracking.experiment import OWNER, PARENT, open_experiment
from lifecycle.tracking.spool import Line, Spool
from lifecycle.train.loggers.mlflow_run import MLFlowRun
from lifecycle.train.loggers.record import Record
from lifecycle.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

RECORD = "lifecycle.record"  # our own name of a run: a run that was made and not marked is found by it
_TOGETHER = 500

log = logging.getLogger(__name__)


class Delivery:
    """Delivers spools to one store.

    Args:
        client: Connected to it.
        workspace: Whose runs they are.
    """

    def __init__(self, client: MlflowClient, workspace: Workspace) -> None:
        self.client = client
        self._workspace = workspace
        self._owner = workspace.identity
        self._experiments: dict[str, str] = {}
        self._writers: dict[str, MLFlowRun] = {}

    def give(self, spool: Spool) -> None:
        """Deliver all that waits in a spool.

        What the store refuses for good is given up, with a warning in the log.

        Raises:
            Exception: the store cannot be used for now; what was not delivered waits on.
        """
        while lines := spool.waiting(_TOGETHER):
            try:
                self._give_some(spool, lines)
            except Exception:
                spool.uncertain = True
                raise
        spool.uncertain = False

    def _give_some(self, spool: Spool, lines: Sequence[Line]) -> None:
        for (kind, run), group in groupby(lines, key=lambda line: (str(line["do"]), str(line["run"]))):
            together = list(group)
            try:
                self._do(spool, kind, run, together)
            except Exception as error:
                if is_away(error, self.client.tracking_uri):
                    raise
                log.warning("MLflow does not take %s of a run: %s", kind, str(error).partition("\n")[0])
            spool.delivered(len(together))

    def _do(self, spool: Spool, kind: str, run: str, lines: Sequence[Line]) -> None:
        if kind == "run":
            for line in lines:
                self._make_run(spool, run, line)
            return
        if run not in spool.runs:
            raise LookupError("the run was never made")
        writer = self._writer(spool.runs[run])
        if kind == "params":
            writer.log_params(_merged(lines, "params"))
        elif kind == "metrics":
            writer.log_records([record for line in lines for record in _records(line)])
        elif kind == "tags":
            writer.set_tags({name: str(text) for name, text in _merged(lines, "tags").items()})
        elif kind == "files":
            for line in lines:
                writer.log_artifacts(self._workspace.path / str(line["folder"]), str(line["to"]))
        elif kind == "end":
            last = lines[-1]
            self.client.set_terminated(writer.run_id, str(last["status"]), int(cast("int", last["at_ms"])))

    def _make_run(self, spool: Spool, run: str, line: Line) -> None:
        if run in spool.runs:
            return
        experiment = self._experiment(str(line["experiment"]))
        tags = {name: str(text) for name, text in _merged([line], "tags").items()}
        tags |= {OWNER: self._owner, RECORD: run}
        if isinstance(parent := line.get("parent"), str) and parent in spool.runs:
            tags[PARENT] = spool.runs[parent]
        found = self._made_before(experiment, run) if spool.uncertain else None
        if found is None:
            made = self.client.create_run(
                experiment,
                start_time=int(cast("int", line["at_ms"])),
                tags=tags,
                run_name=str(line["name"]),
            )
            found = made.info.run_id
        spool.runs[run] = found
        spool.delivered(0)

    def _made_before(self, experiment: str, run: str) -> str | None:
        found = self.client.search_runs([experiment], f"tags.`{RECORD}` = '{run}'", max_results=1)
        return found[0].info.run_id if found else None

    def _experiment(self, name: str) -> str:
        if name not in self._experiments:
            self._experiments[name] = open_experiment(self.client, name, self._workspace).id
        return self._experiments[name]

    def _writer(self, run_id: str) -> MLFlowRun:
        if run_id not in self._writers:
            self._writers[run_id] = MLFlowRun(self.client, run_id)
        return self._writers[run_id]


def _merged(lines: Sequence[Line], name: str) -> dict[str, JSON]:
    merged: dict[str, JSON] = {}
    for line in lines:
        if isinstance(found := line.get(name), Mapping):
            merged |= found
    return merged


def _records(line: Line) -> list[Record]:
    found = cast("list[tuple[dict[str, float], int | None, float]]", line["records"])
    return [Record({n: _number(v) for n, v in metrics.items()}, step, at) for metrics, step, at in found]


def _number(value: object) -> float:
    return float(cast("float", value))


def waiting_folder(workspace: Workspace) -> Path:
    """Where records wait for the store that the environment names: each has a folder of its own."""
    uri = tracking_uri(workspace)
    embedded = uri == workspace.default_tracking_uri  # which moves with the workspace
    name = "embedded" if embedded else sha256(shown(uri).encode())[:16]
    return workspace.path / "tracking" / name
