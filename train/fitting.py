"""Putting a fit together from the trainer's options, module and data, and running it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lifecycle.train import options
from lifecycle.train.checkpoint import Progress, own_state
from lifecycle.train.evaluate import Evaluation
from lifecycle.train.evaluating import evaluation, run_explained
from lifecycle.train.feed import Feed, feed_of
from lifecycle.train.finite import FiniteCheck
from lifecycle.train.fused import fuse
from lifecycle.train.hooks import STRATEGY, Hooks
from lifecycle.train.loop import Batches, FitLoop
from lifecycle.train.optim import optimization
from lifecycle.train.optimize import Automatic, Tools, backward, backward_of
from lifecycle.train.optimize_manual import Manual
from lifecycle.train.optimizer import ModuleOptimizer
from lifecycle.train.pooling import share
from lifecycle.train.restoring import part_of_rank, restore_progress
from lifecycle.train.steps import bound_step, preparer
from lifecycle.train.uneven import agree_on_batches, in_step

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.sources import Sources
    from lifecycle.train.trainer import Trainer


class Fitting:
    """One call of ``Trainer.fit``.

    Args:
        trainer: Whose options count.
        module: What is trained; set up, and on its device.
        hooks: Everyone's hooks.
        sources: Where loaders come from.
        progress: Where the fit stands; filled here.

    Attributes:
        wrapped: The optimizers as the module steps them.
    """

    def __init__(
        self, trainer: Trainer, module: Module, hooks: Hooks, sources: Sources, progress: Progress
    ) -> None:
        self._trainer = trainer
        self._module = module
        self._hooks = hooks
        self._sources = sources
        self._progress = progress
        self._feed: Feed | None = None
        self._loaded_at = progress.state.epoch
        self._validation: Evaluation | None = None
        self._validation_loaded_at: float = progress.state.epoch
        self._finite = None if trainer.barebones else FiniteCheck(progress.state)
        self._tools: Tools | None = None
        self.wrapped: list[ModuleOptimizer] = []

    def run(self, content: Mapping[str, Any] | None) -> None:
        """Make optimizers, restore a checkpoint if there is one, and train."""
        trainer, module, progress, plan = self._trainer, self._module, self._progress, self._trainer.fit_loop
        optimize = self._make_optimizers()
        plan.validates = trainer.enable_validation
        self._hooks.call("on_fit_start")
        trainer.report_hyperparameters(module)
        module.zero_grad()
        self._share_steps()
        if content is not None:
            restore_progress(content, module, progress, trainer.strategy)
        if not progress.state.batch:
            self._check_sanity()
        if trainer.limit_train_batches == 0:
            return
        self._loaded_at = progress.state.epoch
        self.training_feed()
        if content is not None and (data := self._data_of(content)) is not None:
            self.training_feed().load_state_dict(data, position=progress.state.batch)
        # A fit that was killed after its last checkpoint has its end yet to come: averaged weights, say.
        if content is None and plan.done(progress.state):
            return
        if plan.validates and plan.validates_epoch(progress.state):
            self._evaluation()
        plan.validated_at = time.monotonic()
        module._logbook = None if trainer.barebones else progress.logbook
        run_explained(self._loop(optimize), self._tools, alone=trainer.world_size == 1)

    def _make_optimizers(self) -> Automatic | Manual:
        module, progress = self._module, self._progress
        progress.optimization = optimization(
            module.configure_optimizers(), automatic=module.automatic_optimization
        )
        if self._trainer.fused:
            for optimizer in progress.optimization.optimizers:
                fuse(optimizer)
        self._tools = self._make_tools()
        return self._optimize(self._tools)

    def _share_steps(self) -> None:
        """Exchange what steps log with the other processes, where there are some."""
        logbook = self._progress.logbook
        share(logbook, self._module, self._trainer.strategy, steps=True)
        if logbook.sync is not None:
            logbook.sync = self._hooks.phase("sync", logbook.sync)

    def _loop(self, optimize: Automatic | Manual) -> FitLoop:
        trainer, module, hooks, progress = self._trainer, self._module, self._hooks, self._progress
        prepare = preparer(
            module,
            trainer.datamodule,
            progress.precision,
            trainer.device,
            images_last=trainer.channels_last,
        )
        return FitLoop(
            module=module,
            hooks=hooks,
            optimize=optimize,
            train=self._timed(optimize),
            schedules=progress.optimization.schedules if module.automatic_optimization else (),
            plan=trainer.fit_loop,
            state=progress.state,
            results=progress.results,
            logbook=progress.logbook,
            seed=progress.seed,
            stream=trainer.stream_of(progress.seed),
            feed=self.training_feed(),
            load=self._load,
            prepare=prepare and hooks.phase("transfer", prepare),
            validate=self.validate,
            finite=self._finite,
            interrupts=trainer.interrupts,
        )

    def _timed(self, optimize: Automatic | Manual) -> Callable[[Any, int, bool], None]:
        """Training on a batch; what of it is neither forward nor backward is the optimizer's."""
        train = self._hooks.profiled("run_training_batch", optimize)
        return train if isinstance(optimize, Manual) else self._hooks.phase("optimizer", train)

    def _data_of(self, content: Mapping[str, Any]) -> Any:
        """How a checkpoint describes the training data of this process."""
        return part_of_rank(own_state(content), self._trainer.strategy)["data"]

    def _make_tools(self) -> Tools:
        trainer, module, progress = self._trainer, self._module, self._progress
        strategy, automatic = trainer.strategy, module.automatic_optimization
        hooks = self._hooks
        step = bound_step(module, "training_step", progress.precision)
        if trainer.compilation is not None:
            step = trainer.compilation.watched(module, step)
        step = hooks.phase("forward", step)
        step = strategy.training_step(module, step, automatic=automatic)
        if strategy.world_size > 1:  # what processes exchange before a step, its buffers say, is apart
            step = hooks.phase("sync", step)
        return Tools(
            module=module,
            hooks=hooks,
            state=progress.state,
            plan=trainer.fit_loop,
            precision=progress.precision,
            logbook=progress.logbook,
            step=hooks.profiled(f"{STRATEGY}.training_step", step),
            scales=progress.precision.scales,
            clip_val=trainer.gradient_clip_val,
            clip_algorithm=trainer.gradient_clip_algorithm,
            finite=self._finite,
            unsynced=strategy.unsynced,
        )

    def _optimize(self, tools: Tools) -> Automatic | Manual:
        optimizers = self._progress.optimization.optimizers
        if not self._module.automatic_optimization:
            manual = Manual(tools)
            step = self._hooks.phase("optimizer", manual.step)
            self.wrapped = [ModuleOptimizer(o, self._module, step) for o in optimizers]
            return manual
        automatic = Automatic(tools, optimizers[0])
        self.wrapped = [automatic.wrapped]
        return automatic

    # Data

    def training_feed(self) -> Feed:
        """The training data, asked for when it is first needed."""
        if self._feed is None:
            self._feed = self._read(anew=False)
        return self._feed

    def reload(self) -> None:
        """Ask for all loaders anew when they are next needed."""
        if self._feed is not None:
            self._feed.close()
        self._sources.loaders.clear()
        self._feed = self._validation = None

    def _load(self, epoch: int) -> Batches:
        """The training data of an epoch, asked for anew as often as the trainer says."""
        every = self._trainer.reload_dataloaders_every_n_epochs
        if every and epoch - self._loaded_at >= every:
            self._loaded_at = epoch
            self._feed = self._progress.feed = self._read(anew=True)
        feed, strategy = self.training_feed(), self._trainer.strategy
        return in_step(feed, strategy) if strategy.world_size > 1 and feed.num_batches is None else feed

    def _read(self, *, anew: bool) -> Feed:
        trainer, plan = self._trainer, self._trainer.fit_loop
        source = self._sources.load("train", anew=anew)
        feed = feed_of(
            source,
            limit=trainer.limit_train_batches,
            split="train",
            ordered=bool(trainer.overfit_batches),
            shard=trainer.shard,
        )
        if trainer.world_size > 1:
            agree_on_batches(feed.num_batches, trainer.strategy)
        plan.num_batches = feed.num_batches
        plan.every_n_batches = options.every_n_batches(
            trainer.val_check_interval,
            feed.num_batches,
            bounded=plan.every_n_epochs is not None and trainer.limit_val_batches != 0,
        )
        count = float("inf") if feed.num_batches is None else feed.num_batches
        trainer.note_batches("train", [count])
        self._progress.feed = feed
        return feed

    # Validation

    def _evaluation(self) -> Evaluation:
        """The validation, with loaders asked for when they are needed and as often as the trainer says."""
        every, epoch = self._trainer.reload_dataloaders_every_n_epochs, self._progress.state.epoch
        anew = bool(every) and epoch - self._validation_loaded_at >= every
        if self._validation is None or anew:
            self._validation_loaded_at = epoch
            self._validation = evaluation(
                self._trainer,
                self._module,
                self._hooks,
                self._sources,
                self._progress,
                "validation",
                anew=anew,
                ordered=bool(self._trainer.overfit_batches),
            )
            self._validation.no_grad = torch.no_grad  # what a step keeps must be of use in training
            self._validation.eval_batches = self._progress.state.eval_batches
        return self._validation

    def _check_sanity(self) -> None:
        """A short validation, so that a mistake in it shows before hours of training."""
        plan = self._trainer.fit_loop
        if not self._trainer.num_sanity_val_steps or not plan.validates:
            return
        with self._trainer.doing("sanity_check"), self._progress.results.rehearsing():
            self._hooks.call("on_sanity_check_start")
            work = self._evaluation()
            work.most = int(min(self._trainer.num_sanity_val_steps, 1 << 62))
            counts, work.eval_batches = work.eval_batches, []
            work.run()
            self._hooks.call("on_sanity_check_end")
        work.eval_batches, work.most = counts, None
        if not plan.validates_epoch(self._progress.state):
            self._validation_loaded_at = -math.inf  # for this, not for the epoch that will be validated

    def validate(self) -> bool:
        """Validate within the fit; returns whether there were any batches."""
        trainer, state, results = self._trainer, self._progress.state, self._progress.results
        with trainer.doing("validation"):
            if not state.pending:
                self._progress.logbook.hook = "on_validation_model_zero_grad"
                self._module.on_validation_model_zero_grad()
            work = self._evaluation()
            work.epoch = state.epoch
            found = work.run(lambda metrics: results.report(metrics, step=state.stepped, epoch=state.epoch))
        trainer.fit_loop.validated_at = time.monotonic()
        return bool(found)

    # For the trainer

    def check_losses(self) -> None:
        """Raise if a loss was not finite: such weights are not to be saved."""
        if self._finite is not None:
            self._finite.check()

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Gradients of a loss in manual optimization."""
        assert self._tools is not None
        backward(self._tools, loss, backward_of(self._tools), *args, **kwargs)
        self._hooks.phase("sync", self._trainer.strategy.after_backward)(self._module)
