"""The fit loop; `lifecycle.train.hooks` shows the order of hooks that it keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count

from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lifecycle.train.data import Loader, batch_size
from lifecycle.train.hooks import Hooks
from lifecycle.train.metrics import Logbook
from lifecycle.train.module import Module
from lifecycle.train.optim import Optimization, Schedule
from lifecycle.train.seeding import seed_batch
from lifecycle.train.state import FitState


class FitLoop:
    """Trains a module on a loader until its epochs are done.

    Args:
        module: What is trained.
        loader: What is iterated over each epoch.
        hooks: Everyone's hooks.
        optimization: Optimizer and schedules.
        state: Counters and metrics; the trainer shows them to its users.
        num_batches: Batches of an epoch, None when it is not known before its end.
        seed: Seeds the generators for every batch.
        max_epochs: Epochs in all, those of a resumed fit included.
        accumulate: Batches for each optimizer step.
        clip_norm: The greatest norm of all gradients together; None or 0 leaves them.
        validate: Runs a validation at the end of an epoch.
        report: Sends numbers to the logger.
    """

    def __init__(
        self,
        module: Module,
        loader: Loader,
        hooks: Hooks,
        optimization: Optimization,
        state: FitState,
        *,
        num_batches: int | None,
        seed: int,
        max_epochs: int,
        accumulate: int,
        clip_norm: float | None,
        validate: Callable[[], None],
        report: Callable[[Mapping[str, Tensor]], None],
    ) -> None:
        self.module = module
        self.loader = loader
        self.hooks = hooks
        self.optimizer = optimization.optimizer
        self.schedules = optimization.schedules
        self.state = state
        self.num_batches = num_batches
        self.pending = 0  # batches whose gradients wait for an optimizer step
        self.seed = seed
        self.max_epochs = max_epochs
        self.accumulate = accumulate
        self.clip_norm = clip_norm
        self.validate = validate
        self.report = report
        self.logbook = Logbook()

    def run(self) -> None:
        """Train from the state's epoch to the last."""
        if not self.module.training:
            # A module in training mode stays as it is: its user may keep parts of it in evaluation mode.
            self.module.train()
        self.hooks.call("on_fit_start")
        self.module._logbook = self.logbook
        self.hooks.call("on_train_start")
        while self.state.epoch < self.max_epochs and not self.state.should_stop:
            self.epoch()
            self.state.epoch += 1
        self.hooks.call("on_train_end")
        self.hooks.call("on_fit_end")

    def epoch(self) -> None:
        """One pass over the loader, then validation, schedules and the hooks of its end."""
        self.hooks.call("on_train_epoch_start")
        self.logbook.per_step = True
        for index, batch in self.batches():
            self.batch(batch, index)
        if self.pending:
            self.step()
        self.logbook.per_step = False
        self.validate()
        self.keep_epoch_metrics()
        self.hooks.call("on_train_epoch_end")
        self.report(self.keep_epoch_metrics())
        self.step_schedules("epoch")
        self.state.epoch_done = True
        self.hooks.save()
        self.state.epoch_done = False
        self.logbook = self.module._logbook = Logbook()

    def batches(self) -> Iterator[tuple[int, object]]:
        """Batches with their index; the generators are seeded anew for each.

        Loaders with workers choose the order of data when they are opened, those without when the first
        batch is read: both happen under the epoch's seed, so that the order does not depend on workers.
        """
        seed_batch(self.seed, self.state.epoch, -1)
        source = iter(self.loader)
        for index in count():
            batch = next(source, _END)
            if batch is _END:
                return
            if index == 0:
                seed_batch(self.seed, self.state.epoch, 0)
            yield index, batch
            seed_batch(self.seed, self.state.epoch, index + 1)

    def batch(self, batch: object, index: int) -> None:
        """One training step; gradients of a window of batches are accumulated before the optimizer steps."""
        self.logbook.batch_size = batch_size(batch)
        for call in self.hooks["on_train_batch_start"]:
            call(batch, index)
        outputs = self.module.training_step(batch, index)
        loss = _loss(outputs)
        if loss is not None and self.optimizer is not None:
            self.backward(loss / self.accumulate)
            if self.pending == self.accumulate or index + 1 == self.num_batches:
                self.step()
        self.keep_step_metrics()
        if calls := self.hooks["on_train_batch_end"]:
            given = _for_hooks(outputs, loss, self.accumulate)
            for call in calls:
                call(given, batch, index)
            self.keep_step_metrics()
        self.report_step()

    def backward(self, loss: Tensor) -> None:
        """Gradients of a loss, cleared before the first of a window."""
        assert self.optimizer is not None
        if not self.pending:
            for call in self.hooks["on_before_zero_grad"]:
                call(self.optimizer)
            self.optimizer.zero_grad()
        for call in self.hooks["on_before_backward"]:
            call(loss)
        loss.backward()  # type: ignore[no-untyped-call]
        for call in self.hooks["on_after_backward"]:
            call()
        self.pending += 1

    def step(self) -> None:
        """One optimizer step and the schedules that follow steps."""
        assert self.optimizer is not None
        for call in self.hooks["on_before_optimizer_step"]:
            call(self.optimizer)
        if self.clip_norm:
            clip_grad_norm_(self.module.parameters(), self.clip_norm)
        self.optimizer.step()
        self.pending = 0
        self.state.global_step += 1
        if self.schedules:
            self.step_schedules("step")

    def step_schedules(self, interval: str) -> None:
        """Step the schedules of an interval whose frequency is due."""
        done = self.state.epoch + 1 if interval == "epoch" else self.state.global_step
        for schedule in self.schedules:
            if schedule.interval == interval and done % schedule.frequency == 0:
                _step_schedule(schedule, self.state.callback_metrics)

    def keep_step_metrics(self) -> None:
        """Show what was logged since the last call."""
        if self.logbook.fresh:
            self.logbook.fresh = False
            self.state.show(self.logbook.step_values())

    def report_step(self) -> None:
        """Send the step's values to the logger when it is due."""
        self.state.batches_seen += 1
        if self.state.batches_seen % self.state.log_every_n_steps == 0:
            self.report({name: value for entry, name, value in self.logbook.step_values() if entry.logger})

    def keep_epoch_metrics(self) -> dict[str, Tensor]:
        """Reduce the epoch's values and show them; returns those that the logger wants."""
        return self.state.show(self.logbook.epoch_values())


_END = object()


def _loss(outputs: object) -> Tensor | None:
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
    if loss is None or isinstance(loss, Tensor):
        if isinstance(outputs, Mapping) and loss is None:
            raise ValueError(
                f"training_step returned a dictionary without 'loss'; it has: {', '.join(outputs)}"
            )
        return loss
    raise ValueError(
        f"training_step returned {type(outputs).__name__}; allowed: a tensor, a dictionary with 'loss', None"
    )


def _for_hooks(outputs: object, loss: Tensor | None, accumulate: int) -> dict[str, object]:
    """A step's outputs as Lightning hands them on: ``loss``, detached and as accumulated, and the rest."""
    if loss is None:
        return {}
    extra = outputs if isinstance(outputs, Mapping) else {}
    return {**extra, "loss": loss.detach() / accumulate}


def _step_schedule(schedule: Schedule, metrics: Mapping[str, Tensor]) -> None:
    if not isinstance(schedule.scheduler, ReduceLROnPlateau):
        schedule.scheduler.step()
        return
    assert schedule.monitor is not None
    if schedule.monitor in metrics:
        schedule.scheduler.step(float(metrics[schedule.monitor]))
    elif schedule.strict:
        known = ", ".join(sorted(metrics)) or "(none)"
        raise ValueError(
            f"ReduceLROnPlateau follows '{schedule.monitor}', which nobody logged; logged: {known}"
        )
