"""The trainer: options, the four verbs, and checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.train.callbacks.defaults import arranged
from lifecycle.train.checkpoint import (
    load_ckpt,
    restore_callbacks,
    restore_module,
    snapshot,
)
from lifecycle.train.ckpt_path import chosen_checkpoint
from lifecycle.train.data import DataModule
from lifecycle.train.evaluate import Evaluation, Kind
from lifecycle.train.evaluating import SPLITS, evaluation
from lifecycle.train.fitting import Fitting
from lifecycle.train.hooks import Hooks
from lifecycle.train.hparams import merged
from lifecycle.train.loggers import Delivery
from lifecycle.train.loggers.dummy import DummyLogger
from lifecycle.train.metrics import as_floats
from lifecycle.train.module import Module
from lifecycle.train.session import check_module, session, unwrapped
from lifecycle.train.sources import Sources, arguments
from lifecycle.train.tables import show_metrics
from lifecycle.train.trainer_options import TrainerOptions

if TYPE_CHECKING:
    from lifecycle.train.callbacks.base import Callback

log = logging.getLogger(__name__)


class Trainer(TrainerOptions):
    """Fits, validates, tests and predicts with a `Module`, on one device or several.

    Its arguments are those of `lifecycle.train.trainer_options.TrainerOptions`.
    """

    # The four verbs

    def fit(
        self,
        model: Module,
        train_dataloaders: object = None,
        val_dataloaders: object = None,
        datamodule: DataModule | None = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
    ) -> None:
        """Train.

        Args:
            model: What is trained.
            train_dataloaders: A loader to train on, several in a sequence or dictionary, or a DataModule.
            val_dataloaders: What to validate on, a loader or several; None validates nothing.
            datamodule: Loaders in one object.
            ckpt_path: Go on from a checkpoint: a path, ``"last"`` for the newest of this trainer (from the
                start when there is none), or ``"best"``.
            weights_only: Checkpoints are never unpickled, whatever this says.
        """
        launched, _ = self.strategy.launch(
            self,
            self.fit,
            {
                "model": model,
                "train_dataloaders": train_dataloaders,
                "val_dataloaders": val_dataloaders,
                "datamodule": datamodule,
                "ckpt_path": ckpt_path,
            },
        )
        if launched:
            return
        train, datamodule = arguments(train_dataloaders, datamodule)
        module = self._take_on(model, datamodule, {"train": train, "val": val_dataloaders})
        self._verb = "fit"
        content = self._content(ckpt_path)
        self._progress.begin()
        with (
            self._working("fit", module, datamodule, content) as hooks,
            self.interrupts.listening(self.strategy.agreement),
        ):
            assert self._sources is not None
            self._fitting = Fitting(self, module, hooks, self._sources, self._progress)
            self._fitting.run(content)

    def validate(
        self,
        model: Module | None = None,
        dataloaders: object = None,
        ckpt_path: str | Path | None = None,
        verbose: bool = True,
        datamodule: DataModule | None = None,
        weights_only: bool | None = None,
    ) -> list[dict[str, float]]:
        """Metrics of ``validation_step``, for each loader; of the last module if none is passed."""
        return self._score("validation", model, dataloaders, ckpt_path, verbose, datamodule)

    def test(
        self,
        model: Module | None = None,
        dataloaders: object = None,
        ckpt_path: str | Path | None = None,
        verbose: bool = True,
        datamodule: DataModule | None = None,
        weights_only: bool | None = None,
    ) -> list[dict[str, float]]:
        """Metrics of ``test_step``, for each loader; of the last module if none is passed."""
        return self._score("test", model, dataloaders, ckpt_path, verbose, datamodule)

    def predict(
        self,
        model: Module | None = None,
        dataloaders: object = None,
        datamodule: DataModule | None = None,
        return_predictions: bool | None = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
    ) -> list[Any] | None:
        """Run ``predict_step``; returns what it gave for each batch, in a list for each loader if several.

        Each of several processes returns what it has predicted itself; those that are forked or spawned from
        here return nothing, and write with a `BasePredictionWriter`.
        """
        launched, _ = self.strategy.launch(
            self,
            self.predict,
            {
                "model": model,
                "dataloaders": dataloaders,
                "datamodule": datamodule,
                "return_predictions": False,
                "ckpt_path": ckpt_path,
            },
        )
        if launched:
            return None
        with self._evaluating("predict", model, dataloaders, ckpt_path, datamodule) as work:
            work.keep = return_predictions is not False
            work.run()
            found = work.predictions
        if return_predictions is False or not found:
            return None
        return found[0] if len(found) == 1 else cast("list[Any]", found)

    def _score(
        self,
        kind: Kind,
        model: Module | None,
        dataloaders: object,
        ckpt_path: str | Path | None,
        verbose: bool,
        datamodule: DataModule | None,
    ) -> list[dict[str, float]]:
        launched, scores = self.strategy.launch(
            self,
            self.validate if kind == "validation" else self.test,
            {
                "model": model,
                "dataloaders": dataloaders,
                "ckpt_path": ckpt_path,
                "verbose": verbose,
                "datamodule": datamodule,
            },
        )
        if launched:
            return scores or []
        state, results = self._progress.state, self._progress.results
        with self._evaluating(kind, model, dataloaders, ckpt_path, datamodule) as work:
            found = [
                as_floats(metrics)
                for metrics in work.run(
                    lambda all_of: results.report(all_of, step=state.stepped, epoch=state.epoch)
                )
            ]
        if verbose and self.is_global_zero:
            show_metrics(found, kind)
        return found

    @contextmanager
    def _evaluating(
        self,
        kind: Kind,
        model: Module | None,
        loaders: object,
        ckpt_path: str | Path | None,
        datamodule: DataModule | None,
    ) -> Iterator[Evaluation]:
        """A pass over the loaders of a split, set up and ready to run."""
        given, datamodule = arguments(loaders, datamodule)
        module = self._take_on(self._given_or_last(model), datamodule, {SPLITS[kind]: given})
        if ckpt_path is None and model is None and self.checkpoint_callback is not None:
            ckpt_path = self.checkpoint_callback.best_model_path or None
        content = self._content(ckpt_path)
        with self._working(kind, module, datamodule, content) as hooks:
            self.report_hyperparameters(module)
            module.zero_grad()
            assert self._sources is not None
            self._work = evaluation(self, module, hooks, self._sources, self._progress, kind)
            yield self._work

    def _take_on(self, model: Any, datamodule: DataModule | None, given: Mapping[str, object]) -> Module:
        """Learn which module and data are at work, and meet the other processes."""
        self.strategy.join()
        if not self.is_global_zero:
            self.loggers = [DummyLogger() for _ in self.loggers]
        model, self.compiled = unwrapped(model)
        module = check_module(model)
        for part in module.modules():  # modules within a module may ask the trainer too
            if isinstance(part, Module):
                part.trainer = self
        self._module, self.datamodule = module, datamodule
        self._sources = Sources(module, datamodule, given)
        self.interrupts.save = self._save_interrupted
        self.interrupts.forget()
        self._fitting = None
        self._delivery = Delivery(self.loggers)
        self._progress.results.clear()
        self._progress.results.sink = self._delivery if self.loggers else None
        self._progress.seed = self.strategy.broadcast(torch.initial_seed())
        self.callbacks = arranged(self.callbacks, module.configure_callbacks())
        for callback in self.callbacks:  # Lightning's callbacks may call self.log too
            for name in ("log", "log_dict"):
                if not hasattr(type(callback), name):
                    setattr(callback, name, getattr(module, name))
        return module

    def _given_or_last(self, model: Module | None) -> Module:
        module = self._module if model is None else model
        if module is None:
            raise UsageError("there is no module yet: pass one, or fit one first")
        return module

    @contextmanager
    def _working(
        self, verb: str, module: Module, datamodule: DataModule | None, content: dict[str, Any] | None
    ) -> Iterator[Hooks]:
        self._verb = verb
        with self.doing(verb), session(self, module, datamodule, verb, content) as hooks:
            yield hooks

    @contextmanager
    def doing(self, stage: str) -> Iterator[None]:
        """Say what is at work for a while: a verb, ``validation`` or ``sanity_check``."""
        before, self._stage = self._stage, stage
        try:
            yield
        finally:
            self._stage = before

    @property
    def predict_batch_indices(self) -> list[list[Any]]:
        """For each loader of a prediction, which samples each batch consists of, as far as it was read."""
        return [] if self._work is None else [feed.indices for feed in self._work.feeds]

    def reload_dataloaders(self) -> None:
        """Have the verb at work ask for its loaders anew: their batch size has changed, say."""
        if self._fitting is not None:
            self._fitting.reload()
        elif self._work is not None and self._sources is not None:
            work = self._work
            anew = evaluation(
                self, work.module, work.hooks, self._sources, self._progress, work.kind, anew=True
            )
            work.feeds = anew.feeds

    def note_batches(self, split: str, counts: list[int | float]) -> None:
        """Remember how many batches each loader of a split has."""
        self._num_batches[split] = counts

    def report_hyperparameters(self, module: Module) -> None:
        """Send what the module and its data were made with to the loggers."""
        if not self.enable_autolog_hparams or not self.loggers:
            return
        owners = [owner for owner in (module, self.datamodule) if owner is not None]
        if wanted := [owner.hparams_initial for owner in owners if owner._log_hyperparams]:
            self._delivery.hyperparameters(merged(*wanted))
        self._delivery.graph(module)

    def finish(self, status: str) -> None:
        """End a verb: wait for what is being written, and for the loggers."""
        try:
            self.writer.wait()
        finally:
            self._delivery.finalize(status)

    def log_metrics(self, metrics: Mapping[str, Tensor | float], step: int | None = None) -> None:
        """Send numbers to all loggers; one that fails does not end the fit.

        Args:
            metrics: Numbers by name.
            step: By default that of the batch at work.
        """
        self._delivery.metrics(metrics, self.batch_step if step is None else step)

    def after_save_checkpoint(self, callback: Callback) -> None:
        """Tell the loggers of a checkpoint that is whole."""
        self._delivery.after_save_checkpoint(callback)

    # Checkpoints

    def _content(self, ckpt_path: str | Path | None) -> dict[str, object] | None:
        """What a checkpoint holds: of a path, of the best or of the last one."""
        path = self.strategy.broadcast(str(chosen_checkpoint(ckpt_path, self) or ""))
        if not path:
            return None
        self.ckpt_path = path
        return load_ckpt(Path(path), lazy=self.strategy.sharded)

    def save_checkpoint(
        self,
        filepath: str | Path,
        weights_only: bool | None = None,
        storage_options: object = None,
        *,
        wait: bool = True,
        removes: Sequence[Path] = (),
        link: Path | None = None,
    ) -> None:
        """Write the state of the fit at work, or of the last one, as a ``.ckpt``.

        All processes call it, and the first one writes; or all do, what each has (`FSDPStrategy`).

        Args:
            filepath: Where.
            weights_only: Leave out what only a resumed fit needs.
            storage_options: Not used.
            wait: Return when the file is there; otherwise it is written beside training.
            removes: Older files that are removed once it is there.
            link: A link that is then made to lead to it.
        """
        if self.strategy.sharded and self.strategy.abandoned:
            raise LifecycleError(
                f"{filepath} is not written: the state lies in several processes, and this one has failed"
            )
        with self.profiler.profile("save_checkpoint"):
            content = self.dump_checkpoint(weights_only=bool(weights_only))
            group = self.strategy.together
            if group is None and not self.is_global_zero:
                return
            self.writer.save(Path(filepath), content, removes=removes, link=link, wait=wait, group=group)

    def _save_interrupted(self) -> None:
        """Save before an interrupted fit ends, if it saves at all."""
        if (
            self._stage != "sanity_check"
            and self._fitting is not None
            and self.checkpoint_callback is not None
        ):
            folder = Path(self.checkpoint_callback.dirpath or self.default_root_dir)
            if not self.interrupts.together:
                # The others are at another batch: the first process saves what it has, if that is whole.
                self.strategy.abandon()
                if self._progress.state.pending or self.strategy.sharded:
                    log.warning(
                        "interrupted: the newest checkpoint stays, as this state lies in several processes"
                    )
                    return
            self.save_checkpoint(folder / "interrupted.ckpt")
            self.strategy.barrier("saved")  # who ends before it is written has the others ended

    def dump_checkpoint(self, *, weights_only: bool = False) -> dict[str, object]:
        """What `save_checkpoint` writes."""
        module = self._given_or_last(None)
        if self._fitting is not None:
            self._fitting.check_losses()
        content = snapshot(
            module,
            self._progress,
            self.callbacks,
            self.datamodule,
            weights_only=weights_only,
            strategy=self.strategy,
        )
        if not weights_only:
            for callback in self.callbacks:
                callback.on_save_checkpoint(self, module, content)
        module.on_save_checkpoint(content)
        return content

    def restore(self, content: dict[str, Any]) -> None:
        """Give module, data and callbacks what a checkpoint holds for them, when they are set up.

        They may change it first: rename weights of an older version, say.
        """
        module = self._given_or_last(None)
        module.on_load_checkpoint(content)
        restore_module(content, module, strategy=self.strategy)
        if self.datamodule is not None:
            key = type(self.datamodule).__qualname__
            if key in content:
                self.datamodule.load_state_dict(content[key])
        for callback in self.callbacks:
            callback.on_load_checkpoint(self, module, content)
        restore_callbacks(content, self.callbacks)

    # Several processes

    def hand_over(self, result: object) -> dict[str, object]:
        """What a verb that ran in another process leaves behind, as plain values and tensors."""
        module = self._given_or_last(None)
        return {
            "weights": self.strategy.state_dict(module),
            "result": result,
            "state": self._progress.state.state_dict(),
            "results": self._progress.results.state_dict(),
            "callbacks": {c.state_key: found for c in self.callbacks if (found := c.state_dict())},
        }

    def take_over(self, module: Module, left: Mapping[str, Any]) -> None:
        """Be as the trainer whose `hand_over` gave this."""
        self._module = module
        self._progress.state.load_state_dict(dict(left["state"]))
        self._progress.results.load_state_dict(left["results"])
        restore_callbacks(left, self.callbacks)

    # For modules and callbacks

    @property
    def estimated_stepping_batches(self) -> int | float:
        """Optimizer steps that the whole fit will take; infinite when nothing ends it."""
        if self._fitting is not None:
            self._fitting.training_feed()
        plan = self.fit_loop
        most = float("inf") if plan.max_steps == -1 else plan.max_steps
        if plan.max_epochs is None or plan.num_batches is None:
            return most
        return min(-(-plan.num_batches // plan.accumulate) * max(plan.max_epochs, 1), most)

    def optimizers_for_module(self, *, wrapped: bool) -> list[Any]:
        """The optimizers as a module steps them, or as they are."""
        if wrapped and self._fitting is not None:
            return list(self._fitting.wrapped)
        return self.optimizers

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Gradients of a loss in manual optimization, with the hooks around."""
        if self._fitting is None:
            raise UsageError("manual_backward works during a fit")
        self._fitting.backward(loss, *args, **kwargs)

    def print(self, *args: object, **options: Any) -> None:
        """Print a line above the progress bar, in the first process alone."""
        if not self.is_global_zero:
            return
        bar = self.progress_bar_callback
        if bar is None:
            print(*args, **options)
        else:
            bar.print(*args, **options)

    @contextmanager
    def init_module(self, empty_init: bool | None = None) -> Iterator[None]:
        """Make modules on the device and in the types of this trainer."""
        with self.device, self.precision_plugin.init_context():
            yield
