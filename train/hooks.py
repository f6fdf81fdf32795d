"""Hooks, bound once per fit: a hook that nobody overrode is an empty tuple and costs nothing.

The order of a fit (``d`` the data module, ``m`` the module, ``c`` every callback; ``c`` runs before ``m``
unless said)::

    prepare_data                        d, m
    setup                               d, c, m
    configure_model                     m
    on_load_checkpoint                  m, d, c     (only with a ckpt_path)
    configure_optimizers                m
    on_fit_start
    on_sanity_check_start, a short validation, on_sanity_check_end
    on_train_start
    for each epoch:
        on_train_epoch_start
        for each batch:
            on_before_batch_transfer, transfer_batch_to_device, on_after_batch_transfer     d or m
            on_train_batch_start        batch, batch_idx
            optimizer_step              m, given a closure that runs
                training_step           m
                on_before_zero_grad     optimizer; then optimizer_zero_grad     m
                on_before_backward      loss; then backward                     m
                on_after_backward
                on_before_optimizer_step    optimizer
                configure_gradient_clipping m
            lr_scheduler_step           m
            on_train_batch_end          outputs, batch, batch_idx
            on_validation_model_zero_grad … on_validation_end   see `lifecycle.train.evaluate`
            (callbacks that save)
        on_train_epoch_end              c, m, then callbacks that monitor
        (metrics are reduced, schedules of epochs that follow a metric step, callbacks that save)
    on_train_end
    on_fit_end
    teardown                            d, c, m
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lifecycle.train.callbacks.base import Callback
    from lifecycle.train.module import Module
    from lifecycle.train.profilers import Profiler
    from lifecycle.train.trainer import Trainer

Calls = tuple[Callable[..., object], ...]

_CALLBACK_ONLY = ("on_sanity_check_start", "on_sanity_check_end", "on_exception")
MODULE_AND_CALLBACK_HOOKS = (
    "setup",
    "teardown",
    "on_fit_start",
    "on_fit_end",
    "on_train_start",
    "on_train_end",
    "on_train_epoch_start",
    "on_train_epoch_end",
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    *(
        f"on_{kind}_{moment}"
        for kind in ("validation", "test", "predict")
        for moment in ("start", "end", "epoch_start", "epoch_end", "batch_start", "batch_end")
    ),
)


STRATEGY = "[Strategy]SingleDeviceStrategy"  # as reports of profilers call it
_END: Any = object()


class Hooks(dict[str, Calls]):
    """For every hook the calls that somebody overrode, in order.

    Args:
        trainer: The first argument of every callback's hooks.
        module: The second; its own hooks come after them.
        callbacks: In the order in which they run.
        profiler: Times every call, if there is one.
    """

    def __init__(
        self,
        trainer: Trainer,
        module: Module,
        callbacks: Sequence[Callback],
        profiler: Profiler | None = None,
    ) -> None:
        super().__init__()
        self._module = module
        self._profiler = profiler
        self._timers = tuple(callback for callback in callbacks if callback.times)

        def bound(name: str, chosen: Sequence[Callback]) -> Calls:
            return tuple(
                self.profiled(f"[Callback]{c.state_key}.{name}", partial(getattr(c, name), trainer, module))
                for c in chosen
                if overrides(c, name, _callback_class())
            )

        self.update({name: bound(name, callbacks) for name in _CALLBACK_ONLY})
        for name in MODULE_AND_CALLBACK_HOOKS:
            self[name] = (*bound(name, callbacks), *self._of_module(name))
        end = "on_train_epoch_end"
        plain = [callback for callback in callbacks if not callback.monitors]
        monitoring = [callback for callback in callbacks if callback.monitors]
        self[end] = (*bound(end, plain), *self._of_module(end), *bound(end, monitoring))
        self.saves: Calls = tuple(
            partial(callback.save_if_due, trainer, module) for callback in callbacks if callback.saves
        )

    def call(self, name: str, *arguments: object, **named: object) -> None:
        """Run one hook."""
        calls = self[name]
        if not calls:
            return
        book = self._module._logbook
        if book is not None:
            book.hook = name
        for call in calls:
            call(*arguments, **named)

    def overridden(self, name: str) -> bool:
        """Whether the module overrides one of the methods that the trainer calls on it alone."""
        return overrides(self._module, name, _module_class())

    def profiled(self, action: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call itself, or one that the profiler times under a name."""
        profiler = self._profiler
        if profiler is None:
            return call

        def timed(*arguments: object, **options: object) -> Any:
            with profiler.profile(action):
                return call(*arguments, **options)

        return timed

    def phase(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call itself, or one that callbacks are told of as a part of the training step."""
        timers = self._timers
        if not timers:
            return call

        def told(*arguments: object, **options: object) -> Any:
            for timer in timers:
                timer.phase_begins(name)
            try:
                return call(*arguments, **options)
            finally:
                for timer in timers:
                    timer.phase_ends(name)

        return told

    @property
    def timed(self) -> bool:
        """Whether a profiler times them."""
        return self._profiler is not None

    @property
    def split(self) -> bool:
        """Whether a callback is told of the parts of a step."""
        return bool(self._timers)

    def reading(self, action: str, batches: Iterator[Any], *, trains: bool = False) -> Iterator[Any]:
        """The iterator itself, or one of which is timed how long each batch is waited for.

        Args:
            action: For a profiler.
            batches: Of an epoch.
            trains: Whether they are trained on: then waiting is a part of the step.
        """
        if not (self.timed or (trains and self.split)):
            return batches
        following = self.profiled(action, _next_of(batches))
        return iter(self.phase("data", following) if trains else following, _END)

    def _of_module(self, name: str) -> Calls:
        if not self.overridden(name):
            return ()
        action = f"[LightningModule]{type(self._module).__name__}.{name}"
        return (self.profiled(action, getattr(self._module, name)),)


def _next_of(batches: Iterator[Any]) -> Callable[[], Any]:
    return lambda: next(batches, _END)


def overrides(owner: object, name: str, default: type) -> bool:
    """Whether a class, or the object itself, has a method of its own in place of the default one."""
    return name in vars(owner) or getattr(type(owner), name, None) is not getattr(default, name)


def _callback_class() -> type:
    from lifecycle.train.callbacks.base import Callback

    return Callback


def _module_class() -> type:
    from lifecycle.train.module import Module

    return Module
