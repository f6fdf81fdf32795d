"""Training that leaves no trace: a few steps are made to learn something from them, then all is as it was."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lifecycle.core.errors import UsageError
from lifecycle.train.evaluate import Evaluation, Kind
from lifecycle.train.evaluating import SPLITS, without_gradients
from lifecycle.train.feed import Feed, evaluation_feeds, feed_of
from lifecycle.train.hooks import Hooks
from lifecycle.train.interrupts import Interrupts
from lifecycle.train.loggers.dummy import DummyLogger
from lifecycle.train.loop import Batches, FitLoop
from lifecycle.train.metrics import Logbook
from lifecycle.train.optimize import Automatic, Tools
from lifecycle.train.plan import Plan
from lifecycle.train.results import Results
from lifecycle.train.state import FitState
from lifecycle.train.steps import Prepare, bound_step, preparer
from lifecycle.train.strategies import Strategy
from lifecycle.train.torchmetric import metric_states, metrics_of, restore_metrics
from lifecycle.train.uneven import agree_on_batches, in_step

if TYPE_CHECKING:
    from lifecycle.train.callbacks.base import Callback
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer


class TuningDone(Exception):  # noqa: N818  (it is no error)
    """What a tuner called a verb for is known: the verb ends here, and nothing went wrong."""


class Rehearsal:
    """Trains with the trainer's options, but with counters, metrics and hooks of its own.

    The module's hooks run as in a fit; the trainer's callbacks and loggers take no part. To be used
    within `untouched`.

    Args:
        trainer: Whose options count.
        module: What is trained.
        callback: Watches.
        alone: Each of several processes trains by itself, so that one which fails holds up no other.
    """

    def __init__(self, trainer: Trainer, module: Module, callback: Callback, *, alone: bool = False) -> None:
        self._strategy = Strategy() if alone else trainer.strategy
        self._trainer = trainer
        self._module = module
        self._hooks = Hooks(trainer, module, [callback])
        self._precision = copy.deepcopy(trainer.precision_plugin)
        self._alone = alone and trainer.world_size > 1

    def feed(self, loaders: object) -> Feed:
        """The training batches that these loaders give under the trainer's limits."""
        trainer, several = self._trainer, self._trainer.world_size > 1
        return feed_of(
            loaders,
            limit=trainer.limit_train_batches,
            # All but those for training leave samplers and data as they were; in training alone all of
            # several processes get equally many batches.
            split="train" if several else "tuning",
            rehearsal=several,
            ordered=bool(trainer.overfit_batches),
            shard=trainer.shard,
        )

    def run(self, feed: Feed, *, steps: int, state: FitState | None = None) -> None:
        """Make so many optimizer steps, over as many epochs as that takes.

        Args:
            feed: What to train on.
            steps: How many; fewer if somebody sets ``state.should_stop``.
            state: Counts; by default one that nobody sees.

        Raises:
            UsageError: the module optimizes manually.
        """
        trainer, module = self._trainer, self._module
        if not module.automatic_optimization:
            raise UsageError(
                f"{type(module).__name__} steps its optimizers itself: a tuner needs automatic optimization"
            )
        strategy, seed = self._strategy, self._strategy.broadcast(torch.initial_seed())
        if strategy.world_size > 1:
            agree_on_batches(feed.num_batches, strategy)
        batches = in_step(feed, strategy) if strategy.world_size > 1 and feed.num_batches is None else feed
        plan = replace(
            trainer.fit_loop,
            max_epochs=None,
            min_epochs=0,
            max_steps=steps,
            min_steps=0,
            log_every_n_steps=0,
            num_batches=feed.num_batches,
            validates=False,
        )
        tools = self._tools(state or FitState(), plan)
        module._logbook = tools.logbook
        with _metrics_alone(module) if self._alone else nullcontext():
            self._loop(tools, batches, seed).run()

    def _tools(self, state: FitState, plan: Plan) -> Tools:
        trainer, module, precision, strategy = self._trainer, self._module, self._precision, self._strategy
        return Tools(
            module=module,
            hooks=self._hooks,
            state=state,
            plan=plan,
            precision=precision,
            logbook=Logbook(),
            step=strategy.training_step(module, bound_step(module, "training_step", precision)),
            scales=precision.scales,
            clip_val=trainer.gradient_clip_val,
            clip_algorithm=trainer.gradient_clip_algorithm,
            unsynced=strategy.unsynced,
        )

    def _loop(self, tools: Tools, batches: Batches, seed: int) -> FitLoop:
        trainer, module = self._trainer, self._module
        optimize = Automatic(tools, trainer.optimizers[0])
        return FitLoop(
            module=module,
            hooks=self._hooks,
            optimize=optimize,
            train=optimize,
            schedules=(),
            plan=tools.plan,
            state=tools.state,
            results=Results(),
            logbook=tools.logbook,
            seed=seed,
            stream=trainer.stream_of(seed),
            feed=batches,
            load=lambda epoch: batches,
            prepare=self._prepare(),
            validate=lambda: False,
            finite=None,
            interrupts=trainer.interrupts if trainer.world_size == 1 else Interrupts(),
        )

    def _prepare(self) -> Prepare | None:
        trainer, last = self._trainer, self._trainer.channels_last
        return preparer(self._module, trainer.datamodule, self._precision, trainer.device, images_last=last)

    def evaluate(self, kind: Kind, loaders: object, *, batches: int) -> None:
        """Run the steps of a validation, a test or a prediction on so many batches of each loader."""
        trainer, module = self._trainer, self._module
        split = SPLITS[kind]
        feeds = evaluation_feeds(loaders, limit=getattr(trainer, f"limit_{split}_batches"), split=split)
        work = Evaluation(
            module=module,
            hooks=self._hooks,
            kind=kind,
            feeds=feeds,
            step=bound_step(module, f"{kind}_step", loaders=len(feeds)),
            results=Results(),
            precision=self._precision,
            prepare=self._prepare(),
            no_grad=without_gradients(trainer),
            seed=torch.initial_seed(),
            most=batches,
        )
        with _metrics_alone(module) if self._alone else nullcontext():
            work.run()


@contextmanager
def untouched(trainer: Trainer, module: Module) -> Iterator[None]:
    """Put everything back afterwards, to the bit.

    Module (weights, buffers, gradients, modes, metrics), optimizers, and generators of random numbers; the
    trainer's callbacks and loggers are out of the way meanwhile, and who interrupts it saves nothing.
    """
    with ExitStack() as stack:
        stack.enter_context(_generators())
        stack.enter_context(_alone(trainer, module))
        stack.enter_context(trainer.interrupts.unsaved())
        stack.enter_context(metrics_kept(module))
        stack.enter_context(_module(module))
        stack.enter_context(_optimizers(trainer.optimizers))
        yield


@contextmanager
def _metrics_alone(module: nn.Module) -> Iterator[None]:
    """Have torchmetrics objects ask no other process for what it has counted."""
    metrics = [metric for _, metric in metrics_of(module) if metric.sync_on_compute]
    for metric in metrics:
        metric.sync_on_compute = False
    try:
        yield
    finally:
        for metric in metrics:
            metric.sync_on_compute = True


@contextmanager
def metrics_kept(module: nn.Module) -> Iterator[None]:
    """Put the module's torchmetrics objects back to where they were."""
    before = copy.deepcopy(metric_states(module))  # they are summed in place
    try:
        yield
    finally:
        restore_metrics(module, before)


@contextmanager
def _generators() -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


@contextmanager
def _alone(trainer: Trainer, module: Module) -> Iterator[None]:
    callbacks, loggers, logbook = trainer.callbacks, trainer.loggers, module._logbook
    trainer.callbacks, trainer.loggers = [], [DummyLogger() for _ in loggers]
    try:
        yield
    finally:
        trainer.callbacks, trainer.loggers, module._logbook = callbacks, loggers, logbook


@contextmanager
def _module(module: nn.Module) -> Iterator[None]:
    parts = [(part, dict(part._parameters), dict(part._buffers), part.training) for part in module.modules()]
    # On the processor: a search for the memory that training takes is not to take it itself.
    tensors = [
        (tensor, tensor.detach().to("cpu", copy=True), tensor.requires_grad, tensor.grad)
        for tensor in (*module.parameters(), *module.buffers())
    ]
    for tensor, *_ in tensors:
        tensor.grad = None
    try:
        yield
    finally:
        for part, parameters, buffers, training in parts:
            part._parameters.update(parameters)
            part._buffers.update(buffers)
            part.training = training
        with torch.no_grad():
            for tensor, value, requires_grad, grad in tensors:
                tensor.copy_(value)
                tensor.requires_grad_(requires_grad)
                tensor.grad = grad


@contextmanager
def _optimizers(optimizers: Sequence[Optimizer]) -> Iterator[None]:
    kept = [
        (
            optimizer,
            {
                param: {key: _copied(value) for key, value in own.items()}
                for param, own in optimizer.state.items()
            },
            [{key: _copied(value) for key, value in group.items()} for group in optimizer.param_groups],
        )
        for optimizer in optimizers
    ]
    try:
        yield
    finally:
        for optimizer, state, groups in kept:
            optimizer.state.clear()
            optimizer.state.update(state)
            del optimizer.param_groups[len(groups) :]
            for group, values in zip(optimizer.param_groups, groups, strict=True):
                group.clear()
                group.update(values)


def _copied(value: Any) -> Any:
    """Tensors of a state are changed in place; parameters, in lists, are not copied."""
    if isinstance(value, Tensor):
        return value.clone()
    return list(value) if isinstance(value, list) else value
