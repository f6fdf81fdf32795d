"""The words that every package shares. Nothing here imports torch, mlflow or another package of ours.

Code written for Lightning looks for its module class here (``from ….core.module import LightningModule``),
and finds it, as everything that a lower package reaches up for, when it is asked for.
"""

from __future__ import annotations

from importlib import import_module

from lifecycle.core.names import also_named

_HOME = {
    "LightningDataModule": "lifecycle.train.data:DataModule",
    "LightningModule": "lifecycle.train.module:Module",
    "LightningOptimizer": "lifecycle.train.optimizer:ModuleOptimizer",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'lifecycle.core' has no attribute '{name}'")
    home, _, attribute = _HOME[name].partition(":")
    return getattr(import_module(home), attribute)


also_named(__name__, ("datamodule", "module", "optimizer"))
