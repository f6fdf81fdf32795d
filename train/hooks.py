"""Hooks, bound once per fit: a hook that nobody overrode is an empty tuple and costs nothing.

The order of a fit (``m`` the module, ``c`` every callback; ``c`` runs before ``m`` unless said)::

    setup                               data module, c, m
    configure_optimizers                m
    on_fit_start
    on_train_start
    for each epoch:
        on_train_epoch_start
        for each batch:
            on_train_batch_start        batch, batch_idx
            training_step               m
            on_before_zero_grad         optimizer
            on_before_backward          loss
            on_after_backward
            on_before_optimizer_step    optimizer
            on_train_batch_end          outputs, batch, batch_idx
        on_validation_start … end       see `lifecycle.train.evaluate`
        on_train_epoch_end              c, m
        (metrics are reduced, schedules of epochs step)
        on_train_epoch_end              callbacks that save
    on_train_end
    on_fit_end
    teardown                            data module, c, m
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lifecycle.train.callbacks.base import Callback
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer

Calls = tuple[Callable[..., object], ...]

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


class Hooks:
    """For every hook the calls that somebody overrode, in order."""

    def __init__(self, trainer: Trainer, module: Module, callbacks: Sequence[Callback]) -> None:
        others = [callback for callback in callbacks if not callback.saves]
        saving = [callback for callback in callbacks if callback.saves]
        self._calls: dict[str, Calls] = {
            name: (*_of_callbacks(name, trainer, module, callbacks), *_of_module(name, module))
            for name in MODULE_AND_CALLBACK_HOOKS
        }
        end = "on_train_epoch_end"
        self._calls[end] = (*_of_callbacks(end, trainer, module, others), *_of_module(end, module))
        self._saves = _of_callbacks(end, trainer, module, saving)

    def __getitem__(self, name: str) -> Calls:
        return self._calls[name]

    def call(self, name: str, *arguments: object) -> None:
        """Run one hook."""
        for call in self._calls[name]:
            call(*arguments)

    def save(self) -> None:
        """Let the callbacks that write checkpoints end the epoch."""
        for call in self._saves:
            call()


def _of_callbacks(name: str, trainer: Trainer, module: Module, callbacks: Sequence[Callback]) -> Calls:
    default = _callback_class()
    return tuple(
        partial(getattr(callback, name), trainer, module)
        for callback in callbacks
        if _overridden(callback, name, default)
    )


def _of_module(name: str, module: Module) -> Calls:
    return (getattr(module, name),) if _overridden(module, name, _module_class()) else ()


def _overridden(owner: object, name: str, default: type) -> bool:
    return name in vars(owner) or getattr(type(owner), name) is not getattr(default, name)


def _callback_class() -> type:
    from lifecycle.train.callbacks.base import Callback

    return Callback


def _module_class() -> type:
    from lifecycle.train.module import Module

    return Module
