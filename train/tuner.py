"""Finding a learning rate or a batch size before a fit, without training anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.callbacks.batch_size_finder import BatchSizeFinder
from lifecycle.train.callbacks.learning_rate_finder import LearningRateFinder
from lifecycle.train.rehearsal import TuningDone

if TYPE_CHECKING:
    from lifecycle.train.data import DataModule
    from lifecycle.train.module import Module
    from lifecycle.train.range_test import LRFinder
    from lifecycle.train.trainer import Trainer

Method: TypeAlias = Literal["fit", "validate", "test", "predict"]
METHODS = ("fit", "validate", "test", "predict")


class Tuner:
    """Tries things out with a trainer's options; module, data and trainer are as they were afterwards.

    Args:
        trainer: Its verbs are called, and end once it is known what was looked for.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def lr_find(
        self,
        model: Module,
        train_dataloaders: object = None,
        val_dataloaders: object = None,
        dataloaders: object = None,
        datamodule: DataModule | None = None,
        method: Method = "fit",
        min_lr: float = 1e-8,
        max_lr: float = 1,
        num_training: int = 100,
        mode: str = "exponential",
        early_stop_threshold: float | None = 4.0,
        update_attr: bool = True,
        attr_name: str = "",
    ) -> LRFinder | None:
        """Raise the learning rate with every step, and see where the loss falls most steeply.

        Args:
            model: What is trained.
            train_dataloaders: What it is trained on, or a DataModule.
            val_dataloaders: Not used: nothing is validated.
            dataloaders: For other methods than ``fit``.
            datamodule: Loaders in one object.
            method: ``fit``.
            min_lr: The first learning rate.
            max_lr: The last.
            num_training: How many are tried.
            mode: How they grow: ``exponential`` or ``linear``.
            early_stop_threshold: End when the loss is greater than the least so far times this; None never
                does.
            update_attr: Write the suggestion to the module's attribute or hyperparameter.
            attr_name: What that is called; by default ``lr`` or ``learning_rate``.

        Returns:
            What was found; None in a fast_dev_run.

        Raises:
            UsageError: nothing has such a name, or there is not exactly one optimizer that the trainer steps.
        """
        if method != "fit":
            raise UsageError(f"a learning rate is found with method='fit' only, got {method!r}")
        finder = LearningRateFinder(
            min_lr, max_lr, num_training, mode, early_stop_threshold, update_attr, attr_name
        )
        self._run(finder, model, train_dataloaders, val_dataloaders, dataloaders, datamodule, method)
        return finder.optimal_lr

    def scale_batch_size(
        self,
        model: Module,
        train_dataloaders: object = None,
        val_dataloaders: object = None,
        dataloaders: object = None,
        datamodule: DataModule | None = None,
        method: Method = "fit",
        mode: str = "power",
        steps_per_trial: int = 3,
        init_val: int = 2,
        max_trials: int = 25,
        batch_arg_name: str = "batch_size",
        margin: float = 0.05,
        max_val: int = 8192,
    ) -> int | None:
        """Find the largest batch that fits into memory, and write it where the batch size is kept.

        Args:
            model: What is trained or scored.
            train_dataloaders: A DataModule may be given here; loaders cannot, they have a batch size already.
            val_dataloaders: Not used.
            dataloaders: As `train_dataloaders`, for other methods than ``fit``.
            datamodule: Makes loaders with its own attribute, or the module does.
            method: Whose step is run: ``fit``, ``validate``, ``test`` or ``predict``.
            mode: ``power`` or ``binsearch``.
            steps_per_trial: Steps for each size.
            init_val: The size to begin with.
            max_trials: How many sizes that fit are tried.
            batch_arg_name: What the attribute is called, on the data module, the module, or in ``hparams``.
            margin: What ``binsearch`` takes off in the end, as a fraction.
            max_val: No size above this is tried.

        Returns:
            What was found; None in a fast_dev_run.

        Raises:
            UsageError: nothing has such an attribute, loaders were passed, or not even one sample fits.
        """
        finder = BatchSizeFinder(mode, steps_per_trial, init_val, max_trials, batch_arg_name, margin, max_val)
        self._run(finder, model, train_dataloaders, val_dataloaders, dataloaders, datamodule, method)
        return None if self._trainer.fast_dev_run else finder.optimal_batch_size

    def _run(
        self,
        finder: Callback,
        model: Module,
        train_dataloaders: object,
        val_dataloaders: object,
        dataloaders: object,
        datamodule: DataModule | None,
        method: Method,
    ) -> None:
        """Call a verb that ends when the finder is done."""
        trainer = self._trainer
        trainer.strategy.check_runs_here("a Tuner")
        if method not in METHODS:
            raise UsageError(f"a tuner has no method {method!r}: {suggest(method, METHODS)}")
        if method == "fit" and dataloaders is not None:
            raise UsageError(
                "with method='fit' pass train_dataloaders (and val_dataloaders), not dataloaders"
            )
        if method != "fit" and (train_dataloaders is not None or val_dataloaders is not None):
            raise UsageError(
                f"with method={method!r} pass dataloaders, not train_dataloaders or val_dataloaders"
            )
        with _only(trainer, finder):
            if method == "fit":
                trainer.fit(model, train_dataloaders, val_dataloaders, datamodule)
            elif method == "validate":
                trainer.validate(model, dataloaders, datamodule=datamodule)
            elif method == "test":
                trainer.test(model, dataloaders, datamodule=datamodule)
            else:
                trainer.predict(model, dataloaders, datamodule=datamodule)


class _Ending(Callback):
    """Ends a verb after its first hook; set-up and teardown are everyone's."""

    def __init__(self, callbacks: list[Callback]) -> None:
        self.callbacks = callbacks

    def setup(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """Let everyone set up what the module may depend on."""
        for callback in self.callbacks:
            callback.setup(trainer, pl_module, stage)

    def teardown(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """And tear it down again."""
        for callback in self.callbacks:
            callback.teardown(trainer, pl_module, stage)

    def on_fit_start(self, trainer: Trainer, pl_module: Module) -> None:
        """All is known."""
        raise TuningDone

    on_validation_start = on_test_start = on_predict_start = on_fit_start


@contextmanager
def _only(trainer: Trainer, finder: Callback) -> Iterator[None]:
    """Let a finder, and no other callback or logger, take part in a verb, which ends when it is done."""
    for callback in trainer.callbacks:
        if isinstance(callback, type(finder)):
            raise UsageError(
                f"the trainer has a {type(finder).__name__} among its callbacks: "
                "take it out, or do without the tuner"
            )
    callbacks, loggers = trainer.callbacks, trainer.loggers
    trainer.callbacks, trainer.loggers = [finder, _Ending(callbacks)], []
    try:
        yield
    except TuningDone:
        pass
    finally:
        trainer.callbacks, trainer.loggers = callbacks, loggers
