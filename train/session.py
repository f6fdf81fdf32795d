"""Setting everyone up for one of the trainer's verbs, and tearing down whatever happens."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lifecycle.core.errors import UsageError
from lifecycle.train.forward import with_forward
from lifecycle.train.hooks import Hooks
from lifecycle.train.memory_format import put_channels_last
from lifecycle.train.rehearsal import TuningDone
from lifecycle.train.trainer_state import VERBS, TrainerStatus

if TYPE_CHECKING:
    from lifecycle.train.data import DataModule
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer

log = logging.getLogger(__name__)
REMOVED = ("training_epoch_end", "validation_epoch_end", "test_epoch_end")  # by Lightning 2.0


@contextmanager
def session(
    trainer: Trainer,
    module: Module,
    datamodule: DataModule | None,
    verb: str,
    content: dict[str, Any] | None = None,
) -> Iterator[Hooks]:
    """Attach module and data to the trainer, run their set-up, and give everyone's hooks.

    Args:
        trainer: Whose callbacks take part; it has been told which module is at work.
        module: Keeps its trainer afterwards, as Lightning's does; copies of it do not.
        datamodule: Prepared and set up first, so that modules may ask it for sizes.
        verb: ``fit``, ``validation``, ``test`` or ``predict``.
        content: A checkpoint that is restored once the module is set up.
    """
    stage = VERBS[verb]
    trainer.note_status(TrainerStatus.RUNNING)
    hooks = Hooks(trainer, module, trainer.callbacks, trainer.timing)
    try:
        with ExitStack() as around:
            around.enter_context(_switches(trainer))
            around.enter_context(compiled(module, trainer.compiled))
            if trainer.timing is not None:
                trainer.timing.setup(stage, None, trainer.log_dir)
                trainer.timing.watch(module)
            _set_up(trainer, hooks, module, datamodule, stage)
            if content is not None:
                trainer.restore(content)
            around.enter_context(_placed(trainer, module, fits=verb == "fit"))
            yield hooks
            if verb == "fit":
                hooks.call("on_fit_end")
            _tear_down(trainer, hooks, datamodule, stage)
            if trainer.timing is not None:
                trainer.timing.describe()
    except TuningDone:  # a tuner has what it wanted: no error
        _tear_down(trainer, hooks, datamodule, stage)
        raise
    except BaseException as error:
        _give_up(trainer, hooks, datamodule, error)
        raise
    finally:
        module._logbook = None
        if trainer.timing is not None:
            trainer.timing.teardown(stage)


def check_module(module: object) -> Module:
    """The module itself.

    Raises:
        UsageError: it is none, or a class, or its ``__init__`` did not call its parent's.
    """
    if isinstance(module, type):
        raise UsageError(f"{module.__name__} is a class: pass a module made of it, {module.__name__}(…)")
    if not hasattr(module, "training_step"):
        raise UsageError(f"{type(module).__name__} is no lifecycle.Module: write `class …(lifecycle.Module)`")
    if not hasattr(module, "_logbook"):
        raise UsageError(f"{type(module).__name__}.__init__ must call super().__init__() first")
    for name in REMOVED:
        if callable(getattr(module, name, None)):
            raise UsageError(
                f"{type(module).__name__}.{name} would never be called: no trainer has this hook any more",
                hint=f"Keep what it takes in an attribute; use on_{name.replace('training', 'train')}(self).",
            )
    return module  # type: ignore[return-value]


def unwrapped(model: Any) -> tuple[Any, Any]:
    """A module, and what ``torch.compile`` made of it if that was passed in its place (ADR-0006)."""
    inner = getattr(model, "_orig_mod", None)
    return (model, None) if inner is None else (inner, model)


@contextmanager
def compiled(module: nn.Module, wrapper: Any) -> Iterator[None]:
    """Let the module's forward be the compiled one for a while; its steps are not compiled, their logs would
    break the graph.
    """  # noqa: D205
    if wrapper is None:
        yield
        return
    with with_forward(module, wrapper.dynamo_ctx(module.forward)):
        yield


def _set_up(
    trainer: Trainer, hooks: Hooks, module: Module, datamodule: DataModule | None, stage: str
) -> None:
    if datamodule is not None:
        datamodule.trainer = module.trainer
    with trainer.strategy.first_of_machine() as prepares:
        for owner in (datamodule, module):
            every_machine = getattr(owner, "prepare_data_per_node", True)
            if owner is not None and (prepares if every_machine else trainer.is_global_zero):
                owner.prepare_data()
    if datamodule is not None:
        datamodule.setup(stage=stage)
    hooks.call("setup", stage=stage)
    module.configure_sharded_model()
    module.configure_model()


def _tear_down(trainer: Trainer, hooks: Hooks, datamodule: DataModule | None, stage: str) -> None:
    if datamodule is not None:
        datamodule.teardown(stage=stage)
    hooks.call("teardown", stage=stage)
    trainer.finish("success")
    trainer.note_status(TrainerStatus.FINISHED)


def _give_up(trainer: Trainer, hooks: Hooks, datamodule: DataModule | None, error: BaseException) -> None:
    trainer.note_status(TrainerStatus.INTERRUPTED)
    trainer.strategy.abandon()
    hooks.call("on_exception", error)
    if datamodule is not None:
        datamodule.on_exception(error)
    try:
        trainer.finish("failed" if isinstance(error, Exception) else "aborted")
    except Exception:  # what ended the fit is the error to see
        log.exception("ending after an error failed too")


@contextmanager
def _placed(trainer: Trainer, module: Module, *, fits: bool) -> Iterator[None]:
    """The module on its device, in its types and its part of the processes; afterwards as before."""
    with ExitStack() as around:
        trainer.precision_plugin.convert_module(module)
        trainer.accelerator.setup_device(trainer.device)
        around.callback(trainer.accelerator.teardown)
        trainer.accelerator.setup(trainer)
        trainer.strategy.bring(module)
        if trainer.channels_last:
            put_channels_last(module)
        around.callback(trainer.strategy.release, module)
        trainer.strategy.set_up(module, fits=fits, sync_batchnorm=trainer.sync_batchnorm)
        if trainer.compilation is not None:
            around.enter_context(trainer.compilation.around(trainer.strategy.compiled_parts(module)))
        yield


@contextmanager
def _switches(trainer: Trainer) -> Iterator[None]:
    """Torch's global switches as the trainer wants them, then as they were."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    try:
        if trainer.deterministic is not None and trainer.deterministic is not False:
            torch.use_deterministic_algorithms(True, warn_only=trainer.deterministic == "warn")
        if trainer.benchmark is not None:
            torch.backends.cudnn.benchmark = trainer.benchmark
        elif trainer.deterministic:
            torch.backends.cudnn.benchmark = False
        with torch.enable_grad(), torch.autograd.set_detect_anomaly(trainer.detect_anomaly):
            yield
    finally:
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark
