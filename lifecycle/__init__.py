"""From a PyTorch module to a small, fast, audited HTTP endpoint.

``import lifecycle as pl`` offers the trainer's surface; names are loaded when they are first used,
so that the import itself loads neither torch nor mlflow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lifecycle.core.signature import Signature, TensorSpec
    from lifecycle.train.callbacks.base import Callback
    from lifecycle.train.data import DataModule
    from lifecycle.train.data import DataModule as LightningDataModule
    from lifecycle.train.forward import with_forward
    from lifecycle.train.module import Module
    from lifecycle.train.module import Module as LightningModule
    from lifecycle.train.seeding import seed_everything
    from lifecycle.train.trainer import Trainer
    from lifecycle.verbs.pipelines import Pipeline

__version__ = "0.1.0"
__all__ = [
    "Callback",
    "DataModule",
    "LightningDataModule",
    "LightningModule",
    "Module",
    "Pipeline",
    "Signature",
    "TensorSpec",
    "Trainer",
    "seed_everything",
    "with_forward",
]

_HOME = {
    "Callback": "lifecycle.train.callbacks.base:Callback",
    "DataModule": "lifecycle.train.data:DataModule",
    "LightningDataModule": "lifecycle.train.data:DataModule",
    "LightningModule": "lifecycle.train.module:Module",
    "Module": "lifecycle.train.module:Module",
    "Pipeline": "lifecycle.verbs.pipelines:Pipeline",
    "Signature": "lifecycle.core.signature:Signature",
    "TensorSpec": "lifecycle.core.signature:TensorSpec",
    "Trainer": "lifecycle.train.trainer:Trainer",
    "seed_everything": "lifecycle.train.seeding:seed_everything",
    "with_forward": "lifecycle.train.forward:with_forward",
}


# ``pl.callbacks.ModelCheckpoint`` works without importing ``lifecycle.callbacks`` first.
_SUBMODULES = frozenset(
    (
        "accelerators",
        "callbacks",
        "loggers",
        "plugins",
        "profilers",
        "strategies",
        "trainer",
        "tuner",
        "utilities",
        "verbs",
    )
)


def __getattr__(name: str) -> object:
    if name in _SUBMODULES:
        return import_module(f"lifecycle.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'lifecycle' has no attribute '{name}'; it offers: {', '.join(__all__)}")
    module, _, attribute = _HOME[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
