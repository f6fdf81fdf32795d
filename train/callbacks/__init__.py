"""Callbacks of the trainer; each is loaded when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lifecycle.train.callbacks.accumulation import GradientAccumulationScheduler
    from lifecycle.train.callbacks.base import Callback
    from lifecycle.train.callbacks.batch_size_finder import BatchSizeFinder
    from lifecycle.train.callbacks.checkpoint import Checkpoint
    from lifecycle.train.callbacks.device_stats import DeviceStatsMonitor
    from lifecycle.train.callbacks.early_stopping import EarlyStopping, EarlyStoppingReason
    from lifecycle.train.callbacks.finetuning import BackboneFinetuning, BaseFinetuning
    from lifecycle.train.callbacks.lambda_function import LambdaCallback
    from lifecycle.train.callbacks.learning_rate_finder import LearningRateFinder
    from lifecycle.train.callbacks.lr_monitor import LearningRateMonitor
    from lifecycle.train.callbacks.model_checkpoint import ModelCheckpoint
    from lifecycle.train.callbacks.on_exception_checkpoint import OnExceptionCheckpoint
    from lifecycle.train.callbacks.prediction_writer import BasePredictionWriter
    from lifecycle.train.callbacks.progress import ProgressBar
    from lifecycle.train.callbacks.rich_progress import RichProgressBar, RichProgressBarTheme
    from lifecycle.train.callbacks.step_timer import StepTimer
    from lifecycle.train.callbacks.summary import ModelSummary, RichModelSummary
    from lifecycle.train.callbacks.swa import StochasticWeightAveraging
    from lifecycle.train.callbacks.throughput import ThroughputMonitor
    from lifecycle.train.callbacks.timer import Timer
    from lifecycle.train.callbacks.tqdm_progress import TQDMProgressBar
    from lifecycle.train.callbacks.weight_averaging import EMAWeightAveraging, WeightAveraging

__all__ = [
    "BackboneFinetuning",
    "BaseFinetuning",
    "BasePredictionWriter",
    "BatchSizeFinder",
    "Callback",
    "Checkpoint",
    "DeviceStatsMonitor",
    "EMAWeightAveraging",
    "EarlyStopping",
    "EarlyStoppingReason",
    "GradientAccumulationScheduler",
    "LambdaCallback",
    "LearningRateFinder",
    "LearningRateMonitor",
    "ModelCheckpoint",
    "ModelSummary",
    "OnExceptionCheckpoint",
    "ProgressBar",
    "RichModelSummary",
    "RichProgressBar",
    "RichProgressBarTheme",
    "StepTimer",
    "StochasticWeightAveraging",
    "TQDMProgressBar",
    "ThroughputMonitor",
    "Timer",
    "WeightAveraging",
]

# Where each is defined: a file of this folder.
_HOME = {
    "BackboneFinetuning": "finetuning",
    "BaseFinetuning": "finetuning",
    "BasePredictionWriter": "prediction_writer",
    "BatchSizeFinder": "batch_size_finder",
    "Callback": "base",
    "Checkpoint": "checkpoint",
    "DeviceStatsMonitor": "device_stats",
    "EMAWeightAveraging": "weight_averaging",
    "EarlyStopping": "early_stopping",
    "EarlyStoppingReason": "early_stopping",
    "GradientAccumulationScheduler": "accumulation",
    "LambdaCallback": "lambda_function",
    "LearningRateFinder": "learning_rate_finder",
    "LearningRateMonitor": "lr_monitor",
    "ModelCheckpoint": "model_checkpoint",
    "ModelSummary": "summary",
    "OnExceptionCheckpoint": "on_exception_checkpoint",
    "ProgressBar": "progress",
    "RichModelSummary": "summary",
    "RichProgressBar": "rich_progress",
    "RichProgressBarTheme": "rich_progress",
    "StepTimer": "step_timer",
    "StochasticWeightAveraging": "swa",
    "TQDMProgressBar": "tqdm_progress",
    "ThroughputMonitor": "throughput",
    "Timer": "timer",
    "WeightAveraging": "weight_averaging",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(
            f"module '{__name__}' has no attribute '{name}'; it offers: {', '.join(__all__)}"
        )
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
