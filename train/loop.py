"""The fit loop; `lifecycle.train.hooks` shows the order of hooks that it keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from lifecycle.train.finite import FiniteCheck
from lifecycle.train.hooks import Hooks
from lifecycle.train.interrupts import Interrupts
from lifecycle.train.metrics import Logbook
from lifecycle.train.module import Module
from lifecycle.train.optim import Schedule
from lifecycle.train.optimize import Optimize
from lifecycle.train.plan import Plan
from lifecycle.train.results import Results
from lifecycle.train.schedules import step_schedules
from lifecycle.train.seeding import seed_batch
from lifecycle.train.state import FitState

Prepare = Callable[[Any, int], Any]
READING = "[_TrainingEpochLoop].train_dataloader_next"  # as reports of profilers call it


class Batches(Protocol):
    """Batches of an epoch, from any position (`lifecycle.train.feed`)."""

    num_batches: int | None

    def batches(self, seed: int, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches `start`, `start` + 1, … of an epoch."""


@dataclass(kw_only=True)
class FitLoop:
    """Trains a module on a feed of batches until its plan is done.

    Attributes:
        module: What is trained.
        hooks: Everyone's hooks.
        optimize: Trains on one batch.
        train: The same, timed by a profiler if there is one.
        schedules: Learning rate schedulers of automatic optimization.
        plan: When what is due.
        state: Where the fit is; the trainer shows it to its users.
        results: What was logged.
        logbook: What is being logged in this epoch.
        seed: Seeds what all processes do alike: the order of data, and what hooks draw between batches.
        stream: Seeds the generators of this process for every batch; the first process draws as one alone.
        feed: Gives the batches; made anew by `load`, at the start of each epoch.
        load: Returns the feed for an epoch.
        prepare: Brings a batch to the device; None when there is nothing to do.
        validate: Runs a validation, and says whether there were batches for it.
        finite: Looks for losses that are not finite, if wanted.
        interrupts: Says whether somebody asked to end.
    """

    module: Module
    hooks: Hooks
    optimize: Optimize
    train: Callable[[Any, int, bool], None]
    schedules: tuple[Schedule, ...]
    plan: Plan
    state: FitState
    results: Results
    logbook: Logbook
    seed: int
    stream: int
    feed: Batches
    load: Callable[[int], Batches]
    prepare: Prepare | None
    validate: Callable[[], bool]
    finite: FiniteCheck | None
    interrupts: Interrupts

    def run(self) -> None:
        """Train from where the state is to the end of the plan."""
        self.hooks.call("on_train_start")
        epoch = self.hooks.profiled("run_training_epoch", self.epoch)
        while self.state.tail_due or not self.plan.done(self.state):
            epoch()
        seed_batch(self.seed, self.state.epoch, -1)
        self.hooks.call("on_train_end")

    def epoch(self) -> None:
        """One pass over the feed, or what is left of it, then the hooks of its end."""
        state = self.state
        seed_batch(self.seed, state.epoch, -1)
        self.feed = self.load(state.epoch)
        self.results.begin(self.logbook)
        if state.tail_due:
            self.tail()
        elif not state.batch:
            self.hooks.call("on_train_epoch_start")
        if not (state.last or self.plan.stops(state)):
            for index, batch, last in self.batches():
                if self.batch(batch, index, last) or self.plan.stops(state):
                    break
            else:
                self.exhausted()
        self.end()

    def batches(self) -> Iterator[tuple[int, Any, bool]]:
        """Index, batch, and whether it is the last of the epoch: known when the next is not there."""
        state, num_batches = self.state, self.plan.num_batches
        index = state.batch
        source = self.hooks.reading(READING, self.feed.batches(self.seed, state.epoch, index), trains=True)
        if num_batches is not None:
            for batch in source:
                yield index, batch, index + 1 >= num_batches
                index += 1
            return
        waiting = next(source, _END)
        while waiting is not _END:
            batch, waiting = waiting, next(source, _END)
            yield index, batch, waiting is _END
            index += 1

    def batch(self, batch: Any, index: int, last: bool) -> bool:
        """Train on a batch, and do what follows it; True skips the rest of the epoch."""
        state, hooks, book = self.state, self.hooks, self.logbook
        state.ending = last
        seed_batch(self.stream, state.epoch, index)
        if self.prepare is not None:
            batch = self.prepare(batch, 0)
        book.batch = batch
        skip = False
        if calls := hooks["on_train_batch_start"]:
            book.hook = "on_train_batch_start"
            # The last answer is the module's own, if it gives one; callbacks are not asked.
            answers = [call(batch, index) for call in calls]
            skip = answers[-1] == -1 and hooks.overridden("on_train_batch_start")
            state.ending = last or skip
        if not skip:
            self.train(batch, index, last)
        state.last = last or skip
        state.batch = index + 1
        state.batches_seen += 1
        if self.schedules:
            self.step_schedules(follow_metric=False)
        if skip:
            state.pending = 0
            return True
        if calls := hooks["on_train_batch_end"]:
            book.hook = "on_train_batch_end"
            outputs = self.optimize.outputs()
            for call in calls:
                call(outputs, batch, index)
        book.batch = None
        self.report()
        self.tail()
        return False

    def tail(self) -> None:
        """What follows a batch: validation, schedules that follow a metric, and saving."""
        state = self.state
        state.tail_due = True
        if not state.validated and self.plan.validation_due(state):
            state.validated = self.validate()
        if self.schedules and not state.pending:
            self.step_schedules(follow_metric=True)
        if not state.pending:
            state.stepped += 1
        state.tail_due = False
        if not state.last:
            self.save(epoch_ended=False)

    def exhausted(self) -> None:
        """The feed ended: with fewer batches than it announced if the last was not recognised."""
        if not self.state.last:
            self.optimize.finish()
            self.state.last = True

    def end(self) -> None:
        """The end of an epoch: its metrics, its hooks, schedules that follow a metric, and saving."""
        state, results = self.state, self.results
        cut = not state.last  # by a limit or a request to stop: a resume goes on within the epoch
        self.check_losses()
        self.pool()
        results.end_steps()
        if self.hooks["on_train_epoch_end"]:
            self.hooks.call("on_train_epoch_end")
            self.pool()
        wanted = results.keep(self.logbook.epoch_values())
        if not cut:
            step_schedules(self.schedules, "epoch", self, follow_metric=True)
        results.report(wanted, step=max(state.stepped - 1, 0), epoch=state.epoch)
        state.epoch_done = not cut
        self.save(epoch_ended=True)
        # What was logged in an epoch that was cut still counts for who saves now and goes on later.
        state.cut_at = state.batch if cut else None
        if not cut:
            self.logbook.clear()
        state.epoch += 1
        state.batch, state.last, state.epoch_done = 0, False, False

    def pool(self) -> None:
        """Put the values of the epoch together with those of other processes, if there are any."""
        if self.logbook.pool is not None:
            self.logbook.pool()

    def report(self) -> None:
        """Send the values of the batch to loggers when it is due."""
        state = self.state
        if not state.pending and self.plan.logs(state):
            self.results.report_step(step=state.stepped, epoch=state.epoch)
            if self.finite is not None:
                self.finite.look()

    def save(self, *, epoch_ended: bool) -> None:
        """Let the callbacks that save do so, and end if somebody asked for it."""
        state = self.state
        for call in self.hooks.saves:
            call(stepped=not state.pending, validated=state.validated, epoch_ended=epoch_ended)
        state.validated = False
        if self.interrupts.heeding:
            self.interrupts.at_boundary()

    def step_schedules(self, *, follow_metric: bool) -> None:
        """Step what is due after a batch; schedules of epochs step with the last, before it is validated."""
        state = self.state
        if not state.pending:
            step_schedules(self.schedules, "step", self, follow_metric=follow_metric)
        if state.last and not follow_metric:
            step_schedules(self.schedules, "epoch", self, follow_metric=False)

    def check_losses(self) -> None:
        """Raise if a loss was not finite; waits for the device."""
        if self.finite is not None:
            self.finite.check()


_END: Any = object()
