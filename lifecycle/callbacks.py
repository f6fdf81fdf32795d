"""Callbacks: the trainer's, and compression's, which take part in training."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from lifecycle.core.names import also_named

if TYPE_CHECKING:
    from lifecycle.compress.batch_norm_sparsity import BatchNormSparsity
    from lifecycle.compress.distillation import Distillation
    from lifecycle.compress.model_pruning import ModelPruning
    from lifecycle.compress.qat import QuantizationAwareTraining
    from lifecycle.compress.structured_pruning import StructuredPruning
    from lifecycle.train.callbacks import (
        BackboneFinetuning,
        BaseFinetuning,
        BasePredictionWriter,
        BatchSizeFinder,
        Callback,
        Checkpoint,
        DeviceStatsMonitor,
        EarlyStopping,
        EarlyStoppingReason,
        EMAWeightAveraging,
        GradientAccumulationScheduler,
        LambdaCallback,
        LearningRateFinder,
        LearningRateMonitor,
        ModelCheckpoint,
        ModelSummary,
        OnExceptionCheckpoint,
        ProgressBar,
        RichModelSummary,
        RichProgressBar,
        RichProgressBarTheme,
        StepTimer,
        StochasticWeightAveraging,
        ThroughputMonitor,
        Timer,
        TQDMProgressBar,
        WeightAveraging,
    )

__all__ = [
    "BackboneFinetuning",
    "BaseFinetuning",
    "BasePredictionWriter",
    "BatchNormSparsity",
    "BatchSizeFinder",
    "Callback",
    "Checkpoint",
    "DeviceStatsMonitor",
    "Distillation",
    "EMAWeightAveraging",
    "EarlyStopping",
    "EarlyStoppingReason",
    "GradientAccumulationScheduler",
    "LambdaCallback",
    "LearningRateFinder",
    "LearningRateMonitor",
    "ModelCheckpoint",
    "ModelPruning",
    "ModelSummary",
    "OnExceptionCheckpoint",
    "ProgressBar",
    "QuantizationAwareTraining",
    "RichModelSummary",
    "RichProgressBar",
    "RichProgressBarTheme",
    "StepTimer",
    "StochasticWeightAveraging",
    "StructuredPruning",
    "TQDMProgressBar",
    "ThroughputMonitor",
    "Timer",
    "WeightAveraging",
]

_OF_COMPRESSION = {
    "BatchNormSparsity": "lifecycle.compress.batch_norm_sparsity",
    "Distillation": "lifecycle.compress.distillation",
    "ModelPruning": "lifecycle.compress.model_pruning",
    "QuantizationAwareTraining": "lifecycle.compress.qat",
    "StructuredPruning": "lifecycle.compress.structured_pruning",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(
            f"module 'lifecycle.callbacks' has no attribute '{name}'; it offers: {', '.join(__all__)}"
        )
    return getattr(import_module(_OF_COMPRESSION.get(name, "lifecycle.train.callbacks")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


also_named(
    __name__,
    (
        "batch_size_finder",
        "callback",
        "checkpoint",
        "device_stats_monitor",
        "early_stopping",
        "finetuning",
        "gradient_accumulation_scheduler",
        "lambda_function",
        "lr_finder",
        "lr_monitor",
        "model_checkpoint",
        "model_summary",
        "on_exception_checkpoint",
        "prediction_writer",
        "progress",
        "progress.progress_bar",
        "progress.rich_progress",
        "progress.tqdm_progress",
        "pruning",
        "rich_model_summary",
        "stochastic_weight_avg",
        "throughput_monitor",
        "timer",
        "weight_averaging",
    ),
)
