"""Loggers of every kind, and what they have written: for the tests that hold for all of them."""

from __future__ import annotations

import csv
import math
import shutil
from abc import ABC, abstractmethod
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from lifecycle.train.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger

History = dict[str, list[tuple[int, float]]]


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Kept(ABC):
    """A kind of logger, and a folder that its store lies in.

    Attributes:
        blocked: A path below which everything is kept: a file there makes the store fail.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blocked = folder / "logs"

    @abstractmethod
    def make(self, **options: Any) -> Logger:
        """A logger of a new run."""

    @abstractmethod
    def again(self, logger: Any, **options: Any) -> Logger:
        """A logger, as another process would make it, that continues a run."""

    @abstractmethod
    def history(self, logger: Any) -> History:
        """What was written of a run: step and value by name."""

    @abstractmethod
    def hyperparameters(self, logger: Any) -> dict[str, str]:
        """What was written, as text; nested ones as outer/inner."""

    def repair(self) -> None:
        """Make a store work that was blocked."""
        self.blocked.unlink()


class InFolder(Kept):
    kind: type[Any]

    def make(self, **options: Any) -> Logger:
        return self.kind(self.folder / "logs", **options)  # type: ignore[no-any-return]

    def again(self, logger: Any, **options: Any) -> Logger:
        return self.make(version=logger.version, **options)

    def hyperparameters(self, logger: Any) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, value in yaml.safe_load((Path(logger.log_dir) / "hparams.yaml").read_text()).items():
            inner = value.items() if isinstance(value, dict) else ()
            found |= {f"{name}/{key}": str(item) for key, item in inner} or {name: str(value)}
        return found


class InCSV(InFolder):
    kind = CSVLogger

    def history(self, logger: Any) -> History:
        found: History = defaultdict(list)
        with (Path(logger.log_dir) / "metrics.csv").open() as file:
            for row in csv.DictReader(file):
                step = int(row.pop("step"))
                for name, text in row.items():
                    if text:
                        found[name].append((step, float(text)))
        return dict(found)


class InTensorBoard(InFolder):
    kind = TensorBoardLogger

    def history(self, logger: Any) -> History:
        tensorboard = import_module("tensorboard.backend.event_processing.event_accumulator")
        events = tensorboard.EventAccumulator(logger.log_dir).Reload()
        return {
            name: [(event.step, event.value) for event in events.Scalars(name)]
            for name in events.Tags()["scalars"]
            if name != "hp_metric"
        }


class InMLflow(Kept):
    def __init__(self, folder: Path, empty_store: Path) -> None:
        super().__init__(folder)
        self._empty_store = empty_store

    def _uri(self) -> str:
        return f"sqlite:///{self.blocked}/mlflow.db"

    def make(self, **options: Any) -> Logger:
        if not self.blocked.exists():
            self._lay()
        return MLFlowLogger(save_dir=self.blocked, **options)

    def again(self, logger: Any, **options: Any) -> Logger:
        return self.make(run_id=logger.run_id, **options)

    def repair(self) -> None:
        super().repair()
        self._lay()

    def history(self, logger: Any) -> History:
        client = MlflowClient(self._uri())
        return {
            name: [(m.step, m.value) for m in client.get_metric_history(logger.run_id, name)]
            for name in client.get_run(logger.run_id).data.metrics
        }

    def hyperparameters(self, logger: Any) -> dict[str, str]:
        return dict(MlflowClient(self._uri()).get_run(logger.run_id).data.params)

    def _lay(self) -> None:
        """A store in which nothing is yet; making its tables takes seconds."""
        self.blocked.mkdir()
        shutil.copy(self._empty_store, self.blocked / "mlflow.db")


KINDS = ("csv", "tensorboard", "mlflow")


def kept(kind: str, folder: Path, empty_store: Path) -> Kept:
    if kind == "csv":
        return InCSV(folder)
    if kind == "tensorboard":
        pytest.importorskip("tensorboard")
        return InTensorBoard(folder)
    return InMLflow(folder, empty_store)


def same(first: History, second: History) -> bool:
    """Whether two histories are equal, NaN being equal to itself."""
    return first.keys() == second.keys() and all(
        len(first[name]) == len(second[name])
        and all(
            one[0] == other[0] and (one[1] == other[1] or (math.isnan(one[1]) and math.isnan(other[1])))
            for one, other in zip(first[name], second[name], strict=True)
        )
        for name in first
    )
