"""Validation, test and prediction: one pass over loaders without gradients.

For ``kind`` validation, test or predict::

    on_{kind}_model_eval                m
    on_{kind}_start
    on_{kind}_epoch_start
    for each loader, for each batch:
        on_before_batch_transfer, transfer_batch_to_device, on_after_batch_transfer     d or m
        on_{kind}_batch_start           batch, batch_idx, (dataloader_idx)
        {kind}_step
        on_{kind}_batch_end             outputs, batch, batch_idx, (dataloader_idx)
    on_{kind}_epoch_end
    (metrics are reduced)
    on_{kind}_end
    on_{kind}_model_train               m
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from lifecycle.core.errors import UsageError
from lifecycle.train.feed import Feed
from lifecycle.train.hooks import Hooks
from lifecycle.train.interrupts import Interrupts
from lifecycle.train.loop import Prepare
from lifecycle.train.metrics import Logbook
from lifecycle.train.modes import modes_kept
from lifecycle.train.module import Module
from lifecycle.train.precision import Precision
from lifecycle.train.results import Results
from lifecycle.train.seeding import seed_batch
from lifecycle.train.torchmetric import metric_states, restore_metrics

Kind = Literal["validation", "test", "predict"]
Metrics = dict[str, Tensor]


@dataclass(kw_only=True)
class Evaluation:
    """One pass over the batches of a split.

    Attributes:
        module: What is scored.
        hooks: Everyone's hooks.
        kind: ``validation``, ``test`` or ``predict``.
        feeds: The loaders, one after the other.
        step: The module's step with the arguments that it takes.
        results: Takes what is logged.
        precision: Around each step.
        prepare: Brings a batch to the device; None when there is nothing to do.
        no_grad: ``torch.no_grad`` within a fit, ``torch.inference_mode`` elsewhere.
        interrupts: Says whether somebody asked to end.
        seed: Of what all processes do alike.
        stream: Of the random numbers of this process.
        begin: Called first; None when there is nothing to do.
        most_of_all: Given how many batches this process has, the most of any; None if they may differ.
        epoch: Of a fit, for the loaders.
        eval_batches: Batches so far, for each loader: the step of values that a step reports.
        most: No more batches of each loader than this.
        keep: Whether to keep what each step gives.
        silent: Whether nothing is logged.
    """

    module: Module
    hooks: Hooks
    kind: Kind
    feeds: Sequence[Feed]
    step: Callable[..., object]
    results: Results
    precision: Precision
    prepare: Prepare | None = None
    no_grad: Callable[[], AbstractContextManager[Any]] = torch.inference_mode
    interrupts: Interrupts = field(default_factory=Interrupts)
    seed: int = 0
    stream: int | None = None
    begin: Callable[[], None] | None = None
    most_of_all: Callable[[int], int] | None = None
    epoch: int = 0
    eval_batches: list[int] = field(default_factory=list)
    most: int | None = None
    keep: bool = False
    silent: bool = False
    logbook: Logbook = field(default_factory=Logbook)
    predictions: list[list[object]] = field(default_factory=list)

    def run(self, finish: Callable[[Metrics], None] = lambda _: None) -> list[Metrics]:
        """Run it.

        Args:
            finish: Given all metrics when they are reduced, before the last hooks.

        Returns:
            For each loader what was logged for it, and what the epoch's end logged; nothing without batches.
        """
        kind, hooks = self.kind, self.hooks
        self.predictions = []
        # With other processes this one takes part even without a batch of its own.
        if not self.feeds or (self.begin is None and all(feed.num_batches == 0 for feed in self.feeds)):
            return []
        if self.begin is not None:
            self.begin()
        with self._scoring(), self.no_grad():
            hooks.call(f"on_{kind}_start")
            hooks.call(f"on_{kind}_epoch_start")
            found = [self._loader(index, feed) for index, feed in enumerate(self.feeds)]
            self.logbook.loader = None
            self.results.end_steps()
            hooks.call(f"on_{kind}_epoch_end")
            if self.logbook.pool is not None and hooks[f"on_{kind}_epoch_end"]:
                self.logbook.pool()
            of_all = self.results.keep(self.logbook.epoch_values())
            found = [metrics | of_all for metrics in found]
            finish({name: value for metrics in found for name, value in metrics.items()})
            hooks.call(f"on_{kind}_end")
        return found

    def _loader(self, index: int, feed: Feed) -> Metrics:
        """Every batch of one loader; returns what was logged for it."""
        several = len(self.feeds) > 1
        self.logbook.loader = index if several else None
        self.predictions.append([])
        at: tuple[int, ...] = (index,) if several else ()
        split = "val" if self.kind == "validation" else self.kind
        reading = self.hooks.reading(f"[_EvaluationLoop].{split}_next", feed.batches(self.seed, self.epoch))
        missing = 0 if self.most_of_all is None else self._missing(feed)
        last: Any = None
        for number, batch in enumerate(reading):
            if self.most is not None and number >= self.most:
                break
            self._batch(batch, number, at)
            last = batch
            if self.interrupts.received and self.interrupts.alone:
                self._interrupted()
        if missing:
            self._keep_company(last, missing, at)
        if self.logbook.pool is not None:
            self.logbook.pool()
        return self.results.keep(self.logbook.epoch_values())

    def _batch(self, batch: Any, number: int, at: tuple[int, ...]) -> None:
        kind, hooks, book = self.kind, self.hooks, self.logbook
        seed_batch(self.seed if self.stream is None else self.stream, self.epoch, number)
        if self.prepare is not None:
            batch = self.prepare(batch, at[0] if at else 0)
        book.batch = batch
        for call in hooks[f"on_{kind}_batch_start"]:
            book.hook = f"on_{kind}_batch_start"
            call(batch, number, *at)
        book.hook = f"{kind}_step"
        if self.precision.plain:
            outputs = self.step(batch, number, *at)
        else:
            with self.precision.context():
                outputs = self.step(batch, number, *at)
        for call in hooks[f"on_{kind}_batch_end"]:
            book.hook = f"on_{kind}_batch_end"
            call(outputs, batch, number, *at)
        book.batch = None
        if self.keep:
            self.predictions[-1].append(outputs)
        self._report_step(at[0] if at else 0)

    def _missing(self, feed: Feed) -> int:
        """How many batches fewer this process has than another one.

        Raises:
            UsageError: that is not known, or it has none at all.
        """
        assert self.most_of_all is not None
        own = feed.num_batches
        if own is not None and self.most is not None:
            own = min(own, self.most)
        if not own:
            raise UsageError(
                f"this process has {'an unknown number of' if own is None else 'no'} batches to score, and "
                "its part of the parameters is needed for each of the others'",
                hint="Score a loader with a length, of as many samples as there are processes at least.",
            )
        return self.most_of_all(own) - own

    def _keep_company(self, batch: Any, missing: int, at: tuple[int, ...]) -> None:
        """Repeat the last batch for the others, which need this process's part of parameters."""
        kept, book = metric_states(self.module), self.module._logbook
        self.module._logbook = None if book is None else Logbook(hook=self.logbook.hook, batch=batch)
        if self.prepare is not None:
            batch = self.prepare(batch, at[0] if at else 0)
        for _ in range(missing):
            with self.precision.context():
                self.step(batch, 0, *at)
        self.module._logbook = book
        restore_metrics(self.module, kept)

    def _report_step(self, loader: int) -> None:
        """Values of single steps go to loggers under a count of their own."""
        if self.kind == "predict":
            return
        self.eval_batches.extend([0] * (loader + 1 - len(self.eval_batches)))
        self.results.report_step(step=self.eval_batches[loader], epoch=None)
        self.eval_batches[loader] += 1

    def _interrupted(self) -> None:
        """Save as if the pass had not begun: it is begun again after a resume."""
        restore_metrics(self.module, self._before)
        self.eval_batches[:] = self._batches_before
        self.interrupts.act()

    @contextmanager
    def _scoring(self) -> Iterator[None]:
        """Evaluation mode, and a logbook of its own."""
        module, outer = self.module, self.module._logbook
        self._before, self._batches_before = metric_states(module), list(self.eval_batches)
        module._logbook = None if self.silent or self.kind == "predict" else self.logbook
        leave = f"on_{self.kind}_model_train"
        own = self.kind != "predict" and self.hooks.overridden(leave)
        try:
            with self.results.scoring(self.logbook), nullcontext() if own else modes_kept(module):
                self.logbook.hook = f"on_{self.kind}_model_eval"
                getattr(module, self.logbook.hook)()
                yield
            if own:
                self.logbook.hook = leave
                getattr(module, leave)()
        finally:
            self.logbook.clear()
            module._logbook = outer
