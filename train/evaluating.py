"""Putting a pass over the loaders of a split together: a validation, a test, a prediction."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from lifecycle.core.errors import UsageError
from lifecycle.train.checkpoint import Progress
from lifecycle.train.diagnose import explain
from lifecycle.train.evaluate import Evaluation, Kind
from lifecycle.train.feed import evaluation_feeds
from lifecycle.train.hooks import STRATEGY, Hooks
from lifecycle.train.pooling import share
from lifecycle.train.seeding import mix
from lifecycle.train.steps import bound_step, preparer

if TYPE_CHECKING:
    from lifecycle.train.loop import FitLoop
    from lifecycle.train.module import Module
    from lifecycle.train.optimize import Tools
    from lifecycle.train.sources import Sources
    from lifecycle.train.trainer import Trainer

SPLITS: dict[Kind, str] = {"validation": "val", "test": "test", "predict": "predict"}
_STREAMS: dict[Kind, int] = {"validation": 1, "test": 2, "predict": 3}


def evaluation(
    trainer: Trainer,
    module: Module,
    hooks: Hooks,
    sources: Sources,
    progress: Progress,
    kind: Kind,
    *,
    anew: bool = False,
    ordered: bool = False,
) -> Evaluation:
    """A pass over the loaders of a split, ready to run.

    Raises:
        UsageError: the module has no step for it, or there are no loaders.
    """
    split = SPLITS[kind]
    if kind != "predict" and not hooks.overridden(f"{kind}_step"):
        getattr(module, f"{kind}_step")()  # says what is missing
    limit = getattr(trainer, f"limit_{split}_batches")
    feeds = (
        []
        if limit == 0
        else evaluation_feeds(
            sources.load(split, anew=anew), limit=limit, split=split, ordered=ordered, shard=trainer.shard
        )
    )
    trainer.note_batches(
        split, [float("inf") if feed.num_batches is None else feed.num_batches for feed in feeds]
    )
    work = Evaluation(
        module=module,
        hooks=hooks,
        kind=kind,
        feeds=feeds,
        step=hooks.profiled(
            f"{STRATEGY}.{kind}_step",
            _explaining(module, bound_step(module, f"{kind}_step", loaders=len(feeds))),
        ),
        results=progress.results,
        precision=progress.precision,
        prepare=preparer(
            module, trainer.datamodule, progress.precision, trainer.device, images_last=trainer.channels_last
        ),
        no_grad=without_gradients(trainer),
        interrupts=trainer.interrupts,
        seed=mix(progress.seed, _STREAMS[kind]),  # not that of training
        stream=trainer.stream_of(mix(progress.seed, _STREAMS[kind])),
        most_of_all=_most(trainer) if trainer.strategy.sharded else None,
        begin=partial(trainer.strategy.before_evaluation, module) if trainer.world_size > 1 else None,
        epoch=progress.state.epoch,
        silent=trainer.barebones,
    )
    if kind != "predict":
        share(work.logbook, module, trainer.strategy, steps=False)
    return work


def without_gradients(trainer: Trainer) -> Callable[[], AbstractContextManager[Any]]:
    """What is scored in; memory that FSDP keeps must be of use in a later fit, and so be made for that."""
    inference = trainer.inference_mode and not trainer.strategy.sharded
    return torch.inference_mode if inference else torch.no_grad


def _most(trainer: Trainer) -> Callable[[int], int]:
    return lambda count: max(trainer.strategy.gathered(count))


def _explaining(module: Module, step: Callable[..., object]) -> Callable[..., object]:
    """The step; when it fails on its first batch the error says which layer got what."""
    done = False

    def explaining(*arguments: object) -> object:
        nonlocal done
        if done:
            return step(*arguments)
        try:
            found = step(*arguments)
        except Exception as error:
            explained(error, module, lambda: step(*arguments))
            raise
        done = True
        return found

    return explaining


def explained(error: Exception, module: Module, again: Callable[[], object]) -> None:
    """Raise what explains an error, if anything does."""
    text = None if isinstance(error, UsageError) else explain(error, module, again)
    if text is not None:
        raise UsageError(text) from error


def run_explained(loop: FitLoop, tools: Tools | None, *, alone: bool) -> None:
    """Run a fit; an error of its very first batch is explained, where no other process waits for this one."""
    assert tools is not None
    state, logbook = tools.state, tools.logbook
    first = state.batches_seen
    try:
        loop.run()
    except Exception as error:
        batch = logbook.batch
        if alone and state.batches_seen == first and batch is not None:
            explained(error, tools.module, lambda: tools.step(batch, state.batch))
        raise
