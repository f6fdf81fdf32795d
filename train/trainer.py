"""The trainer: its four verbs, each of which takes on a module and data, and sets them up."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks.defaults import arranged
from lifecycle.train.data import DataModule
from lifecycle.train.evaluate import Evaluation, Kind
from lifecycle.train.evaluating import SPLITS, evaluation
from lifecycle.train.fitting import Fitting
from lifecycle.train.hooks import Hooks
from lifecycle.train.loggers import Delivery
from lifecycle.train.loggers.dummy import DummyLogger, place_of
from lifecycle.train.metrics import as_floats
from lifecycle.train.module import Module
from lifecycle.train.session import check_module, session, unwrapped
from lifecycle.train.sources import Sources, arguments
from lifecycle.train.tables import show_metrics
from lifecycle.train.trainer_checkpoints import TrainerCheckpoints

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)


class Trainer(TrainerCheckpoints):
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
        if self.world_size > 1:  # all take part, also where loggers were made for the first alone
            places = self.strategy.broadcast(
                [place_of(logger) for logger in self.loggers] if self.is_global_zero else []
            )
            if not self.is_global_zero:
                self.loggers = [DummyLogger(place) for place in places]
        model, self.compiled = unwrapped(model)
        module = check_module(model)
        if self.compiled is not None and self.compilation is not None:
            raise UsageError(
                "Trainer(compile=…) was given a module that torch.compile has made",
                hint="Pass the module itself, or leave compile out.",
            )
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

    @contextmanager
    def _working(
        self, verb: str, module: Module, datamodule: DataModule | None, content: dict[str, Any] | None
    ) -> Iterator[Hooks]:
        self._verb = verb
        with self.doing(verb), session(self, module, datamodule, verb, content) as hooks:
            yield hooks

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
