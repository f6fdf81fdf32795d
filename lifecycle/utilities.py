"""Small things that scripts written for Lightning import."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from lifecycle.core.names import also_named

if TYPE_CHECKING:
    from lifecycle.core.errors import UsageError as MisconfigurationException
    from lifecycle.train.annotations import (
        EVAL_DATALOADERS,
        STEP_OUTPUT,
        TRAIN_DATALOADERS,
        LRSchedulerConfig,
        LRSchedulerConfigType,
        LRSchedulerPLType,
        LRSchedulerType,
        LRSchedulerTypeTuple,
        LRSchedulerTypeUnion,
        OptimizerConfig,
        OptimizerLRScheduler,
        OptimizerLRSchedulerConfig,
    )
    from lifecycle.train.batch import batch_size as extract_batch_size
    from lifecycle.train.combined import CombinedLoader
    from lifecycle.train.consolidate import consolidate_checkpoint
    from lifecycle.train.data import move_data_to_device
    from lifecycle.train.flops import measure_flops
    from lifecycle.train.gradients import grad_norm
    from lifecycle.train.hparams import HyperParameters as AttributeDict
    from lifecycle.train.isolation import isolate_rng
    from lifecycle.train.rank_zero import (
        PossibleUserWarning,
        rank_zero_debug,
        rank_zero_deprecation,
        rank_zero_info,
        rank_zero_only,
        rank_zero_warn,
    )
    from lifecycle.train.summary import ModelSummary, summarize

__all__ = [
    "EVAL_DATALOADERS",
    "STEP_OUTPUT",
    "TRAIN_DATALOADERS",
    "AttributeDict",
    "CombinedLoader",
    "LRSchedulerConfig",
    "LRSchedulerConfigType",
    "LRSchedulerPLType",
    "LRSchedulerType",
    "LRSchedulerTypeTuple",
    "LRSchedulerTypeUnion",
    "MisconfigurationException",
    "ModelSummary",
    "OptimizerConfig",
    "OptimizerLRScheduler",
    "OptimizerLRSchedulerConfig",
    "PossibleUserWarning",
    "consolidate_checkpoint",
    "extract_batch_size",
    "grad_norm",
    "isolate_rng",
    "measure_flops",
    "move_data_to_device",
    "rank_zero_debug",
    "rank_zero_deprecation",
    "rank_zero_info",
    "rank_zero_only",
    "rank_zero_warn",
    "summarize",
]

_HOME = {
    "AttributeDict": "train.hparams:HyperParameters",
    "CombinedLoader": "train.combined:CombinedLoader",
    "MisconfigurationException": "core.errors:UsageError",
    "ModelSummary": "train.summary:ModelSummary",
    "PossibleUserWarning": "train.rank_zero:PossibleUserWarning",
    "consolidate_checkpoint": "train.consolidate:consolidate_checkpoint",
    "extract_batch_size": "train.batch:batch_size",
    "grad_norm": "train.gradients:grad_norm",
    "isolate_rng": "train.isolation:isolate_rng",
    "measure_flops": "train.flops:measure_flops",
    "move_data_to_device": "train.data:move_data_to_device",
    "rank_zero_debug": "train.rank_zero:rank_zero_debug",
    "rank_zero_deprecation": "train.rank_zero:rank_zero_deprecation",
    "rank_zero_info": "train.rank_zero:rank_zero_info",
    "rank_zero_only": "train.rank_zero:rank_zero_only",
    "rank_zero_warn": "train.rank_zero:rank_zero_warn",
    "summarize": "train.summary:summarize",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(
            f"module '{__name__}' has no attribute '{name}'; it offers: {', '.join(__all__)}"
        )
    home, _, attribute = _HOME.get(name, f"train.annotations:{name}").partition(":")
    return getattr(import_module(f"lifecycle.{home}"), attribute)


also_named(
    __name__,
    (
        "combined_loader",
        "data",
        "exceptions",
        "grads",
        "model_summary",
        "parsing",
        "rank_zero",
        "seed",
        "types",
        "warnings",
    ),
)
