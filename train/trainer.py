"""The trainer: options, the four verbs, and what callbacks may ask it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lifecycle.core.errors import UsageError
from lifecycle.core.stage import NullTracker, Tracker
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.callbacks.defaults import with_defaults
from lifecycle.train.callbacks.model_checkpoint import ModelCheckpoint
from lifecycle.train.checkpoint import load_ckpt, restore, save_ckpt, snapshot
from lifecycle.train.data import DataModule, Loader, Source, data_of, has_loader, loader_of
from lifecycle.train.evaluate import Kind, evaluate
from lifecycle.train.hooks import Hooks
from lifecycle.train.limits import Limit, Limits, check_counts
from lifecycle.train.loop import FitLoop
from lifecycle.train.metrics import as_floats
from lifecycle.train.module import Module
from lifecycle.train.optim import Optimization, optimization
from lifecycle.train.session import session
from lifecycle.train.state import FitState


class Trainer:
    """Fits, validates, tests and predicts with a `Module`, on one device.

    Args:
        max_epochs: Epochs of a fit, those before a resume included.
        callbacks: Whose hooks run, in this order.
        logger: Where numbers go; False or None for nowhere.
        log_every_n_steps: How often numbers of single steps go there.
        enable_checkpointing: Add a `ModelCheckpoint` when `callbacks` holds none.
        enable_progress_bar: Show how far a fit is.
        default_root_dir: Where checkpoints go; by default the current folder.
        limit_train_batches: A number of batches, or as a float a fraction of them.
        limit_val_batches: Likewise for validation.
        limit_test_batches: Likewise for the test.
        limit_predict_batches: Likewise for prediction.
        check_val_every_n_epoch: Validate at the end of every n-th epoch.
        accumulate_grad_batches: Batches for each optimizer step.
        gradient_clip_val: The greatest norm of all gradients together.
        deterministic: Use only operations whose result does not vary between runs.
    """

    def __init__(
        self,
        *,
        max_epochs: int = 1000,
        callbacks: Callback | Sequence[Callback] | None = None,
        logger: Tracker | bool | None = None,
        log_every_n_steps: int = 50,
        enable_checkpointing: bool = True,
        enable_progress_bar: bool = True,
        default_root_dir: str | Path | None = None,
        limit_train_batches: Limit = 1.0,
        limit_val_batches: Limit = 1.0,
        limit_test_batches: Limit = 1.0,
        limit_predict_batches: Limit = 1.0,
        check_val_every_n_epoch: int = 1,
        accumulate_grad_batches: int = 1,
        gradient_clip_val: float | None = None,
        deterministic: bool = False,
    ) -> None:
        check_counts(
            max_epochs=max_epochs,
            log_every_n_steps=log_every_n_steps,
            check_val_every_n_epoch=check_val_every_n_epoch,
            accumulate_grad_batches=accumulate_grad_batches,
        )
        self._limits = Limits(
            train=limit_train_batches,
            val=limit_val_batches,
            test=limit_test_batches,
            predict=limit_predict_batches,
        )
        self.max_epochs = max_epochs
        self.logger: Tracker = logger if logger and logger is not True else NullTracker()
        self.default_root_dir = Path(default_root_dir or ".")
        self.check_val_every_n_epoch = check_val_every_n_epoch
        self.accumulate_grad_batches = accumulate_grad_batches
        self.gradient_clip_val = gradient_clip_val
        self.deterministic = deterministic
        self.callbacks = with_defaults(callbacks, checkpoint=enable_checkpointing, bar=enable_progress_bar)
        self.num_training_batches: int | None = None
        self._state = FitState(log_every_n_steps=log_every_n_steps)
        self._module: Module | None = None
        self._optimization = Optimization(None)
        self._seed = 0

    def fit(
        self,
        model: Module,
        train_dataloaders: Source = None,
        val_dataloaders: Loader | None = None,
        *,
        datamodule: DataModule | None = None,
        ckpt_path: str | Path | None = None,
    ) -> None:
        """Train.

        Args:
            model: What is trained.
            train_dataloaders: What to train on, or a DataModule.
            val_dataloaders: What to validate on; None validates nothing.
            datamodule: Loaders in one object.
            ckpt_path: Go on from a checkpoint: a path, or ``"last"`` for the newest of this trainer.
        """
        self._state = FitState(log_every_n_steps=self._state.log_every_n_steps)
        self._seed = torch.initial_seed()
        datamodule = data_of(train_dataloaders, datamodule)
        with session(self, model, datamodule, "fit") as hooks:
            loader, self.num_training_batches = self._limits.apply(
                "train", loader_of(train_dataloaders, datamodule, "train_dataloader")
            )
            validate = self._validation(model, hooks, val_dataloaders, datamodule)
            self._optimization = optimization(model.configure_optimizers())
            if ckpt_path is not None:
                self._resume(model, ckpt_path)
            FitLoop(
                model,
                loader,
                hooks,
                self._optimization,
                self._state,
                num_batches=self.num_training_batches,
                seed=self._seed,
                max_epochs=self.max_epochs,
                accumulate=self.accumulate_grad_batches,
                clip_norm=self.gradient_clip_val,
                validate=validate,
                report=self._report,
            ).run()

    def validate(
        self,
        model: Module | None = None,
        dataloaders: Source = None,
        *,
        datamodule: DataModule | None = None,
    ) -> list[dict[str, float]]:
        """Metrics of ``validation_step`` over the validation split; of the last module if none is passed."""
        return self._evaluate(model, dataloaders, datamodule, "validation")

    def test(
        self,
        model: Module | None = None,
        dataloaders: Source = None,
        *,
        datamodule: DataModule | None = None,
    ) -> list[dict[str, float]]:
        """Metrics of ``test_step`` over the test split; of the last module if none is passed."""
        return self._evaluate(model, dataloaders, datamodule, "test")

    def predict(
        self,
        model: Module | None = None,
        dataloaders: Source = None,
        *,
        datamodule: DataModule | None = None,
    ) -> list[object]:
        """Run ``predict_step``; returns what it gave for each batch."""
        model, datamodule = self._given_or_last(model), data_of(dataloaders, datamodule)
        with session(self, model, datamodule, "predict") as hooks:
            loader = loader_of(dataloaders, datamodule, "predict_dataloader")
            _, predictions = evaluate(model, hooks, self._limits.apply("predict", loader)[0], "predict")
            hooks.call("on_predict_end")
            return predictions

    def save_checkpoint(self, filepath: str | Path) -> None:
        """Write the state of the fit at work, or of the last one, as a ``.ckpt``."""
        module = self._given_or_last(None)
        content = snapshot(module, self._optimization, self._state, self.callbacks, self._seed)
        for callback in self.callbacks:
            callback.on_save_checkpoint(self, module, content)
        save_ckpt(Path(filepath), content)

    @property
    def current_epoch(self) -> int:
        """The epoch at work, from 0."""
        return self._state.epoch

    @property
    def global_step(self) -> int:
        """Optimizer steps so far."""
        return self._state.global_step

    @property
    def should_stop(self) -> bool:
        """Set it to end training after the epoch at work."""
        return self._state.should_stop

    @should_stop.setter
    def should_stop(self, value: bool) -> None:
        self._state.should_stop = value

    @property
    def callback_metrics(self) -> Mapping[str, Tensor]:
        """Everything logged, by name."""
        return self._state.callback_metrics

    @property
    def progress_bar_metrics(self) -> Mapping[str, Tensor]:
        """What was logged for the progress bar."""
        return self._state.progress_bar_metrics

    @property
    def logged_metrics(self) -> Mapping[str, Tensor]:
        """What was last sent to the logger."""
        return self._state.logged_metrics

    @property
    def lightning_module(self) -> Module | None:
        """The module at work, or the last that was."""
        return self._module

    @property
    def optimizers(self) -> list[torch.optim.Optimizer]:
        """The optimizer of the fit, in a list."""
        return [self._optimization.optimizer] if self._optimization.optimizer else []

    @property
    def checkpoint_callback(self) -> ModelCheckpoint | None:
        """The first `ModelCheckpoint`."""
        return next((c for c in self.callbacks if isinstance(c, ModelCheckpoint)), None)

    @property
    def estimated_stepping_batches(self) -> int | float:
        """Optimizer steps that the whole fit will take; infinite when the loader has no length."""
        if self.num_training_batches is None:
            return float("inf")
        return -(-self.num_training_batches // self.accumulate_grad_batches) * self.max_epochs

    def attach(self, module: Module) -> None:
        """Take a module on: called when a verb begins."""
        self._module, module.trainer = module, self

    def _given_or_last(self, model: Module | None) -> Module:
        module = model or self._module
        if module is None:
            raise UsageError("there is no module yet: pass one, or fit one first")
        return module

    def _validation(
        self, model: Module, hooks: Hooks, loaders: Loader | None, datamodule: DataModule | None
    ) -> Callable[[], None]:
        """What the fit loop calls at the end of an epoch."""
        wanted = loaders is not None or (datamodule is not None and has_loader(datamodule, "val_dataloader"))
        if not wanted or type(model).validation_step is Module.validation_step:
            return lambda: None
        loader, num_batches = self._limits.apply("val", loader_of(loaders, datamodule, "val_dataloader"))
        if num_batches == 0:
            return lambda: None

        def validate() -> None:
            if (self._state.epoch + 1) % self.check_val_every_n_epoch == 0:
                self._pass(model, hooks, loader, "validation")

        return validate

    def _evaluate(
        self, model: Module | None, loaders: Source, datamodule: DataModule | None, kind: Kind
    ) -> list[dict[str, float]]:
        model, datamodule = self._given_or_last(model), data_of(loaders, datamodule)
        short = "val" if kind == "validation" else kind
        stage = "validate" if kind == "validation" else kind
        with session(self, model, datamodule, stage) as hooks:
            loader, _ = self._limits.apply(short, loader_of(loaders, datamodule, f"{short}_dataloader"))
            return [as_floats(self._pass(model, hooks, loader, kind))]

    def _pass(self, model: Module, hooks: Hooks, loader: Loader, kind: Kind) -> dict[str, Tensor]:
        """One evaluation: metrics are shown and reported before its last hook."""
        reduced, _ = evaluate(model, hooks, loader, kind)
        self._report(self._state.show(reduced))
        hooks.call(f"on_{kind}_end")
        return {called: value for entry, name, value in reduced for called in (entry.name, name)}

    def _report(self, metrics: Mapping[str, Tensor]) -> None:
        self._state.logged_metrics.update(metrics)
        if metrics and not isinstance(self.logger, NullTracker):
            self.logger.log_metrics(
                as_floats(metrics) | {"epoch": float(self.current_epoch)}, step=self.global_step
            )

    def _resume(self, model: Module, ckpt_path: str | Path) -> None:
        path = Path(ckpt_path)
        if ckpt_path == "last":
            newest = self.checkpoint_callback.newest() if self.checkpoint_callback else None
            if newest is None:
                return
            path = newest
        content = load_ckpt(path)
        for callback in self.callbacks:
            callback.on_load_checkpoint(self, model, content)
        self._seed = restore(content, model, self._optimization, self._state, self.callbacks)
