"""Finds the largest batch that fits into memory, before a fit, a validation, a test or a prediction."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sized
from typing import TYPE_CHECKING, ClassVar, Literal

from lifecycle.core.errors import UsageError
from lifecycle.train.attributes import Attribute
from lifecycle.train.batch_search import MODES, BatchSearch, is_out_of_memory, release_memory
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.combined import flatten, is_batches
from lifecycle.train.sources import Sources

if TYPE_CHECKING:
    from lifecycle.train.evaluate import Kind
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer

log = logging.getLogger(__name__)

_SPLITS = {"fit": "train", "validation": "val", "test": "test", "predict": "predict"}
_STAGES = {"fit": "train", "validate": "val", "test": "test", "predict": "predict"}


class BatchSizeFinder(Callback):
    """Tries batches of growing size until memory does not suffice, and goes on with the largest that fits.

    The loaders must be the data module's or the module's own, made with an attribute or hyperparameter
    that holds the batch size. Everything but that is as it was before the search. To run it at other
    times, override the hooks and call `scale_batch_size` where you like.

    Args:
        mode: ``power`` doubles the size until it is too large; ``binsearch`` then looks for the largest
            between the last two.
        steps_per_trial: Steps for each size.
        init_val: The size to begin with.
        max_trials: How many sizes that fit are tried.
        batch_arg_name: What the attribute is called.
        margin: What ``binsearch`` takes off in the end, as a fraction, for batches that take more memory.
        max_val: No size above this is tried.

    Attributes:
        optimal_batch_size: What was found.

    Raises:
        UsageError: an argument is out of range; in the run, that nothing has such an attribute, that the
            loaders were passed to the trainer, or that not even one sample fits.
    """

    SUPPORTED_MODES: ClassVar[tuple[str, ...]] = MODES
    tunes: ClassVar[bool] = True

    def __init__(
        self,
        mode: str = "power",
        steps_per_trial: int = 3,
        init_val: int = 2,
        max_trials: int = 25,
        batch_arg_name: str = "batch_size",
        margin: float = 0.05,
        max_val: int = 8192,
    ) -> None:
        self._search = BatchSearch(
            mode=mode.lower(), first=init_val, max_trials=max_trials, margin=margin, most=max_val
        )
        self._steps = steps_per_trial
        self._name = batch_arg_name
        self._fitting = False
        self.optimal_batch_size: int | None = init_val

    def scale_batch_size(self, trainer: Trainer, pl_module: Module) -> None:
        """Search now, with the step of what the trainer is doing."""
        if trainer.fast_dev_run:
            warnings.warn("fast_dev_run: no batch size is looked for", stacklevel=2)
            return
        from lifecycle.train.rehearsal import untouched

        _check_processes(trainer)
        attribute = Attribute(pl_module, trainer.datamodule, self._name)
        before, found = attribute.read(), None
        trial = _Trial(trainer, pl_module, attribute, self._steps)
        try:
            with untouched(trainer, pl_module):
                found = self._search.run(trial.fits, trial.samples())
        finally:
            attribute.write(before if found is None else found)
            release_memory()
        self.optimal_batch_size = found
        trainer.reload_dataloaders()
        log.info("the batch size is %d", found)

    def setup(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """Refuse what could not be searched before anything is done."""
        self._fitting = stage == "fit"
        Attribute(pl_module, trainer.datamodule, self._name)
        split = _STAGES[stage]
        if not Sources(pl_module, trainer.datamodule, {}).has(split):
            raise UsageError(
                "BatchSizeFinder makes loaders of different batch sizes, and those that are passed to the "
                f"trainer have one already: define {split}_dataloader in a DataModule or in "
                f"{type(pl_module).__name__}, with batch_size=self.{self._name}"
            )

    def on_fit_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Search before anything is trained."""
        self.scale_batch_size(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Search before a validation that is not part of a fit."""
        if not self._fitting:
            self.scale_batch_size(trainer, pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Search before a test."""
        self.scale_batch_size(trainer, pl_module)

    def on_predict_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Search before a prediction."""
        self.scale_batch_size(trainer, pl_module)


class _Trial:
    """Runs a few steps with batches of a size."""

    def __init__(self, trainer: Trainer, module: Module, attribute: Attribute, steps: int) -> None:
        from lifecycle.train.rehearsal import Rehearsal

        self._attribute = attribute
        self._steps = steps
        self._kind = _kind(trainer)
        self._sources = Sources(module, trainer.datamodule, {})
        self._strategy = trainer.strategy
        self._rehearsal = Rehearsal(trainer, module, Callback(), alone=True)
        self._seen: dict[int, int] = {}  # batch sizes of the first loader by what the attribute was

    def samples(self) -> int | None:
        """Of the largest data set, if they have lengths; of several processes each has its share."""
        datasets = [getattr(loader, "dataset", None) for loader in _leaves(self._loaders())]
        most = max((len(dataset) for dataset in datasets if isinstance(dataset, Sized)), default=None)
        return None if most is None else -(-most // self._strategy.world_size)

    def fits(self, size: int) -> bool:
        """Whether memory suffices for it, in all processes."""
        self._attribute.write(size)
        loaders = self._loaders()
        self._check(size, loaders)
        fits = True
        try:
            self._run(loaders)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            fits = False
        if not fits:
            release_memory()  # not before the error is gone: it holds on to every frame
        fits = self._strategy.reduce_boolean_decision(fits)
        log.info("a batch of %d %s into memory", size, "fits" if fits else "does not fit")
        return fits

    def _run(self, loaders: object) -> None:
        if self._kind == "fit":
            self._rehearsal.run(self._rehearsal.feed(loaders), steps=self._steps)
        else:
            self._rehearsal.evaluate(self._kind, loaders, batches=self._steps)

    def _loaders(self) -> object:
        return self._sources.load(_SPLITS[self._kind], anew=True)

    def _check(self, size: int, loaders: object) -> None:
        """A loader that does not follow the attribute would be tried up to the greatest size, for nothing."""
        given = getattr(next(iter(_leaves(loaders)), None), "batch_size", None)
        name = self._attribute.name
        if isinstance(given, int):
            self._seen[size] = given
        if len(self._seen) > 1 and len(set(self._seen.values())) == 1:
            raise UsageError(
                f"{_SPLITS[self._kind]}_dataloader gives batches of {given} whatever '{name}' is: "
                f"make it with DataLoader(..., batch_size=self.{name})"
            )


def _check_processes(trainer: Trainer) -> None:
    """Raise `UsageError` if a step needs the other processes: one whose memory is full would hold them up."""
    if trainer.world_size > 1 and (trainer.strategy.sharded or trainer.sync_batchnorm):
        what = "strategy='fsdp'" if trainer.strategy.sharded else "sync_batchnorm=True"
        raise UsageError(
            f"a batch size is not searched with {what} in {trainer.world_size} processes: where memory does "
            "not suffice in one, the others would wait for it for ever",
            hint="Pass a batch size that you know to fit, and gradients of several: accumulate_grad_batches.",
        )


def _kind(trainer: Trainer) -> Literal["fit"] | Kind:
    kinds: dict[Kind, bool] = {
        "validation": trainer.validating,
        "test": trainer.testing,
        "predict": trainer.predicting,
    }
    return next((kind for kind, at_work in kinds.items() if at_work), "fit")


def _leaves(loaders: object) -> list[object]:
    """Every loader of a combination."""
    return getattr(loaders, "flattened", None) or flatten(loaders, is_batches)
