"""The trainer: options, the four verbs, and what callbacks may ask it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from lifecycle.core.errors import UsageError
from lifecycle.core.stage import NullTracker, Tracker
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.callbacks.model_checkpoint import ModelCheckpoint
from lifecycle.train.callbacks.progress import ProgressBar
from lifecycle.train.checkpoint import load_ckpt, restore, save_ckpt, snapshot
from lifecycle.train.data import DataModule, Loader, has_loader, limited
from lifecycle.train.evaluate import Kind, evaluate
from lifecycle.train.hooks import Hooks
from lifecycle.train.loop import FitLoop
from lifecycle.train.metrics import as_floats
from lifecycle.train.module import Module
from lifecycle.train.optim import Optimization, optimization
from lifecycle.train.state import FitState

Limit = int | float


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
        for name, value in (
            ("max_epochs", max_epochs),
            ("log_every_n_steps", log_every_n_steps),
            ("check_val_every_n_epoch", check_val_every_n_epoch),
            ("accumulate_grad_batches", accumulate_grad_batches),
        ):
            if value < 1:
                raise UsageError(f"Trainer({name}={value}): expected a whole number of at least 1")
        self._limits: dict[str, Limit] = {
            "train": limit_train_batches,
            "val": limit_val_batches,
            "test": limit_test_batches,
            "predict": limit_predict_batches,
        }
        for split, limit in self._limits.items():
            if limit < 0 or (isinstance(limit, float) and limit > 1):
                raise UsageError(
                    f"Trainer(limit_{split}_batches={limit}): expected a whole number of batches, "
                    "or a fraction of them from 0.0 to 1.0"
                )
        self.max_epochs = max_epochs
        self.logger: Tracker = logger if logger and logger is not True else NullTracker()
        self.default_root_dir = Path(default_root_dir or ".")
        self.check_val_every_n_epoch = check_val_every_n_epoch
        self.accumulate_grad_batches = accumulate_grad_batches
        self.gradient_clip_val = gradient_clip_val
        self.deterministic = deterministic
        self.callbacks = _callbacks(callbacks, checkpoint=enable_checkpointing, bar=enable_progress_bar)
        self.num_training_batches: int | None = None
        self._state = FitState(log_every_n_steps=log_every_n_steps)
        self._module: Module | None = None
        self._optimization = Optimization(None)
        self._seed = 0

    # The four verbs

    def fit(
        self,
        model: Module,
        train_dataloaders: Loader | None = None,
        val_dataloaders: Loader | None = None,
        *,
        datamodule: DataModule | None = None,
        ckpt_path: str | Path | None = None,
    ) -> None:
        """Train.

        Args:
            model: What is trained.
            train_dataloaders: What to train on, unless there is a `datamodule`.
            val_dataloaders: What to validate on; None validates nothing.
            datamodule: Loaders in one object.
            ckpt_path: Go on from a checkpoint: a path, or ``"last"`` for the newest of this trainer.
        """
        self._state = FitState(log_every_n_steps=self._state.log_every_n_steps)
        self._seed = torch.initial_seed()
        with self._session(model, datamodule, "fit") as hooks:
            loader, self.num_training_batches = limited(
                _loader(train_dataloaders, datamodule, "train_dataloader"), self._limits["train"]
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
        self, model: Module, dataloaders: Loader | None = None, *, datamodule: DataModule | None = None
    ) -> list[dict[str, float]]:
        """Run ``validation_step`` over the validation split; returns its metrics."""
        return self._evaluate(model, dataloaders, datamodule, "validation")

    def test(
        self, model: Module, dataloaders: Loader | None = None, *, datamodule: DataModule | None = None
    ) -> list[dict[str, float]]:
        """Run ``test_step`` over the test split; returns its metrics."""
        return self._evaluate(model, dataloaders, datamodule, "test")

    def predict(
        self, model: Module, dataloaders: Loader | None = None, *, datamodule: DataModule | None = None
    ) -> list[object]:
        """Run ``predict_step``; returns what it gave for each batch."""
        with self._session(model, datamodule, "predict") as hooks:
            loader = _loader(dataloaders, datamodule, "predict_dataloader")
            _, predictions = evaluate(model, hooks, limited(loader, self._limits["predict"])[0], "predict")
            hooks.call("on_predict_end")
            return predictions

    def save_checkpoint(self, filepath: str | Path) -> None:
        """Write the state of the fit at work as a ``.ckpt``."""
        assert self._module is not None, "there is no fit at work"
        content = snapshot(self._module, self._optimization, self._state, self.callbacks, self._seed)
        for callback in self.callbacks:
            callback.on_save_checkpoint(self, self._module, content)
        save_ckpt(Path(filepath), content)

    # What callbacks and users may ask

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
        """The module at work."""
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

    # How the verbs are made

    @contextmanager
    def _session(self, model: Module, datamodule: DataModule | None, stage: str) -> Iterator[Hooks]:
        """Set everyone up for a stage, and tear down whatever happens."""
        for name in ("trainer", "_hparams", "_logbook"):
            if not hasattr(model, name):
                raise UsageError(f"{type(model).__name__}.__init__ must call super().__init__() first")
        deterministic = torch.are_deterministic_algorithms_enabled()
        self._module, model.trainer = model, self
        hooks = Hooks(self, model, self.callbacks)
        try:
            torch.use_deterministic_algorithms(self.deterministic or deterministic)
            if datamodule is not None:
                datamodule.trainer = self
                datamodule.prepare_data()
                datamodule.setup(stage)
            hooks.call("setup", stage)
            yield hooks
            if datamodule is not None:
                datamodule.teardown(stage)
            hooks.call("teardown", stage)
        except BaseException as error:
            for callback in self.callbacks:
                callback.on_exception(self, model, error)
            raise
        finally:
            torch.use_deterministic_algorithms(deterministic)
            model._logbook = None
            model.trainer = self._module = None
            if datamodule is not None:
                datamodule.trainer = None

    def _validation(
        self, model: Module, hooks: Hooks, loaders: Loader | None, datamodule: DataModule | None
    ) -> Callable[[], None]:
        """What the fit loop calls at the end of an epoch."""
        wanted = loaders is not None or (datamodule is not None and has_loader(datamodule, "val_dataloader"))
        if not wanted or type(model).validation_step is Module.validation_step:
            return lambda: None
        loader, num_batches = limited(_loader(loaders, datamodule, "val_dataloader"), self._limits["val"])
        if num_batches == 0:
            return lambda: None

        def validate() -> None:
            if (self._state.epoch + 1) % self.check_val_every_n_epoch == 0:
                self._pass(model, hooks, loader, "validation")

        return validate

    def _evaluate(
        self, model: Module, loaders: Loader | None, datamodule: DataModule | None, kind: Kind
    ) -> list[dict[str, float]]:
        short = "val" if kind == "validation" else kind
        stage = "validate" if kind == "validation" else kind
        with self._session(model, datamodule, stage) as hooks:
            loader, _ = limited(_loader(loaders, datamodule, f"{short}_dataloader"), self._limits[short])
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
            folder = next(
                (c.dirpath for c in self.callbacks if isinstance(c, ModelCheckpoint) and c.dirpath), None
            )
            if folder is None or not (folder / "last.ckpt").is_file():
                return
            path = folder / "last.ckpt"
        content = load_ckpt(path)
        for callback in self.callbacks:
            callback.on_load_checkpoint(self, model, content)
        self._seed = restore(content, model, self._optimization, self._state, self.callbacks)


def _callbacks(given: Callback | Sequence[Callback] | None, *, checkpoint: bool, bar: bool) -> list[Callback]:
    found = [given] if isinstance(given, Callback) else list(given or ())
    if bar and not any(isinstance(c, ProgressBar) for c in found):
        found.append(ProgressBar())
    if checkpoint and not any(isinstance(c, ModelCheckpoint) for c in found):
        found.append(ModelCheckpoint())
    return found


def _loader(given: Loader | None, datamodule: DataModule | None, name: str) -> Loader:
    if given is not None and isinstance(given, DataModule):
        raise UsageError(f"a {type(given).__name__} is a DataModule: pass it as datamodule=…")
    if given is not None:
        return given
    if datamodule is None:
        raise UsageError(f"there is nothing to iterate over: pass a {name} or datamodule=…")
    return cast("Loader", getattr(datamodule, name)())
