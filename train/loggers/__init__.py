"""Loggers of the trainer."""

from lifecycle.train.loggers.mlflow import MLFlowLogger

__all__ = ["MLFlowLogger"]
