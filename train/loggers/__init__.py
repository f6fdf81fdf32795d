"""Loggers of the trainer; each is loaded when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lifecycle.train.loggers.base import Logger, rank_zero_experiment
    from lifecycle.train.loggers.choice import default_logger, loggers_of
    from lifecycle.train.loggers.csv_logger import CSVLogger
    from lifecycle.train.loggers.delivery import Delivery
    from lifecycle.train.loggers.dummy import DummyLogger
    from lifecycle.train.loggers.mlflow_logger import MLFlowLogger
    from lifecycle.train.loggers.mlflow_run import MLFlowRun
    from lifecycle.train.loggers.tensorboard_logger import TensorBoardLogger

__all__ = [
    "CSVLogger",
    "Delivery",
    "DummyLogger",
    "Logger",
    "MLFlowLogger",
    "MLFlowRun",
    "TensorBoardLogger",
    "default_logger",
    "loggers_of",
    "rank_zero_experiment",
]

# Where each is defined: a file of this folder.
_HOME = {
    "CSVLogger": "csv_logger",
    "Delivery": "delivery",
    "DummyLogger": "dummy",
    "Logger": "base",
    "MLFlowLogger": "mlflow_logger",
    "MLFlowRun": "mlflow_run",
    "TensorBoardLogger": "tensorboard_logger",
    "default_logger": "choice",
    "loggers_of": "choice",
    "rank_zero_experiment": "base",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(
            f"module '{__name__}' has no attribute '{name}'; it offers: {', '.join(__all__)}"
        )
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
