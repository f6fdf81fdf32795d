"""Setting everyone up for one of the trainer's verbs, and tearing down whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from lifecycle.core.errors import UsageError
from lifecycle.train.hooks import Hooks

if TYPE_CHECKING:
    from lifecycle.train.data import DataModule
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer


@contextmanager
def session(trainer: Trainer, module: Module, datamodule: DataModule | None, stage: str) -> Iterator[Hooks]:
    """Attach module and data to the trainer, run their set-up, and give everyone's hooks.

    Args:
        trainer: Whose callbacks take part; learns which module is at work.
        module: Keeps its trainer afterwards, as Lightning's does; copies of it do not.
        datamodule: Prepared and set up first, so that modules may ask it for sizes.
        stage: ``fit``, ``validate``, ``test`` or ``predict``.

    Raises:
        UsageError: the module's ``__init__`` did not call its parent's.
    """
    if not hasattr(module, "training_step"):
        raise UsageError(f"{type(module).__name__} is no lifecycle.Module: write `class …(lifecycle.Module)`")
    if not hasattr(module, "_logbook"):
        raise UsageError(f"{type(module).__name__}.__init__ must call super().__init__() first")
    deterministic = torch.are_deterministic_algorithms_enabled()
    trainer.attach(module)
    hooks = Hooks(trainer, module, trainer.callbacks)
    try:
        torch.use_deterministic_algorithms(trainer.deterministic or deterministic)
        if datamodule is not None:
            datamodule.trainer = trainer
            datamodule.prepare_data()
            datamodule.setup(stage)
        hooks.call("setup", stage)
        yield hooks
        if datamodule is not None:
            datamodule.teardown(stage)
        hooks.call("teardown", stage)
    except BaseException as error:
        for callback in trainer.callbacks:
            callback.on_exception(trainer, module, error)
        raise
    finally:
        torch.use_deterministic_algorithms(deterministic)
        module._logbook = None
