"""The fit loop; `lifecycle.train.hooks` shows the order of hooks that it keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

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
        clip_norm: The greatest norm of all gradients together; None leaves them.
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
        self.logbook = Logbook(default_on_step=True, default_on_epoch=False)

    def run(self) -> None:
        """Train from the state's epoch to the last."""
        self.hooks.call("on_fit_start")
        self.hooks.call("on_train_start")
        while self.state.epoch < self.max_epochs and not self.state.should_stop:
            self.epoch()
            self.state.epoch += 1
        self.hooks.call("on_train_end")
        self.hooks.call("on_fit_end")

    def epoch(self) -> None:
        """One pass over the loader, then validation, schedules and the hooks of its end."""
        self.module.train()
        self.logbook = self.module._logbook = Logbook(default_on_step=True, default_on_epoch=False)
        self.hooks.call("on_train_epoch_start")
        for index, batch in self.batches():
            self.batch(batch, index)
        if self.pending:
            self.step()
        self.validate()
        self.step_schedules("epoch")
        self.keep_epoch_metrics()
        self.state.epoch_done = True
        self.hooks.call("on_train_epoch_end")
        self.state.epoch_done = False

    def batches(self) -> Iterator[tuple[int, object]]:
        """Batches with their index; the generators are seeded for each before it is read."""
        seed_batch(self.seed, self.state.epoch, -1)
        source = iter(self.loader)
        index = 0
        while True:
            seed_batch(self.seed, self.state.epoch, index)
            batch = next(source, _END)
            if batch is _END:
                return
            yield index, batch
            index += 1

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
        for call in self.hooks["on_train_batch_end"]:
            call(outputs, batch, index)

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
        if self.clip_norm is not None:
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
        """Show the step's values, and send them to the logger when it is due."""
        state = self.state
        wanted = {}
        for entry, name, value in self.logbook.step_values():
            state.callback_metrics[name] = state.callback_metrics[entry.name] = value
            if entry.prog_bar:
                state.progress_bar_metrics[name] = value
            if entry.logger:
                wanted[name] = value
        state.batches_seen += 1
        if wanted and state.batches_seen % state.log_every_n_steps == 0:
            self.report(wanted)

    def keep_epoch_metrics(self) -> None:
        """Reduce the epoch's values, show them and send them to the logger."""
        state = self.state
        wanted = {}
        for entry, name, value in self.logbook.epoch_values():
            state.callback_metrics[name] = state.callback_metrics[entry.name] = value
            if entry.prog_bar:
                state.progress_bar_metrics[name] = value
            if entry.logger:
                wanted[name] = value
        if wanted:
            self.report(wanted)


_END = object()


def _loss(outputs: object) -> Tensor | None:
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
    if loss is None or isinstance(loss, Tensor):
        if isinstance(outputs, Mapping) and loss is None:
            raise ValueError(f"training_step returned a dictionary without 'loss'; it has: {', '.join(outputs)}")
        return loss
    raise ValueError(
        f"training_step returned {type(outputs).__name__}; allowed: a tensor, a dictionary with 'loss', None"
    )


def _step_schedule(schedule: Schedule, metrics: Mapping[str, Tensor]) -> None:
    if not isinstance(schedule.scheduler, ReduceLROnPlateau):
        schedule.scheduler.step()
        return
    assert schedule.monitor is not None
    if schedule.monitor in metrics:
        schedule.scheduler.step(float(metrics[schedule.monitor]))
    elif schedule.strict:
        known = ", ".join(sorted(metrics)) or "(none)"
        raise ValueError(f"ReduceLROnPlateau follows '{schedule.monitor}', which nobody logged; logged: {known}")
