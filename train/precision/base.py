"""What a precision may do for the loop, which is nothing for single precision.

The order around one optimizer step, which is Lightning's::

    batch = convert_batch(batch)            before it goes to the device
    with context(): loss = training_step
    scaled = scale(loss)                    then on_before_backward, backward, on_after_backward
    unscale_(optimizer)                     then on_before_optimizer_step, clipping
    step(optimizer)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

from torch import Tensor, nn
from torch.optim import Optimizer

from lifecycle.core.errors import UsageError, suggest

Closure = Callable[[], object]


class Precision:
    """Single precision throughout: does nothing. Others override what differs.

    Attributes:
        name: As ``Trainer(precision=…)`` spells it.
        plain: Whether every method leaves everything as it is, so that a loop need not call them.
        scales: Whether `scale` and `unscale_` do anything.
        state_key: Under which name a checkpoint keeps what `state_dict` gives, if that is anything;
            it is Lightning's.
    """

    name: str = "32-true"
    plain: bool = True
    scales: bool = False
    state_key: ClassVar[str] = "Precision"

    @property
    def precision(self) -> str:
        """Its name."""
        return self.name

    def convert_module(self, module: nn.Module) -> None:
        """Change the types of parameters and buffers in place, before optimizers are made."""

    def convert_batch(self, batch: object) -> object:
        """The batch with its floating tensors in the type that the module wants."""
        return batch

    def init_context(self) -> AbstractContextManager[object]:
        """Around ``configure_model``: in which type new tensors are made."""
        return nullcontext()

    def context(self) -> AbstractContextManager[object]:
        """Around every ``*_step``."""
        return nullcontext()

    def scale(self, loss: Tensor) -> Tensor:
        """What is to be differentiated in the loss's place."""
        return loss

    def unscale_(self, optimizer: Optimizer) -> None:
        """Give the optimizer's gradients their true size, for hooks and clipping."""

    def step(self, optimizer: Optimizer, closure: Closure | None = None, **options: object) -> object:
        """Step the optimizer; returns what its ``step`` does."""
        return plain_step(optimizer, closure, options)

    def state_dict(self) -> dict[str, object]:
        """What a resumed fit needs; empty for most."""
        return {}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Take back what `state_dict` gave."""


def plain_step(optimizer: Optimizer, closure: Closure | None, options: Mapping[str, object]) -> object:
    """Step an optimizer that may take a closure."""
    step: Callable[..., object] = optimizer.step
    return step(**options) if closure is None else step(closure=closure, **options)


def one_of(text: str, allowed: Mapping[str, object] | tuple[str, ...], got: object = None) -> str:
    """Raise `UsageError` unless `text` is allowed; the message shows `got` if that is another."""
    if text not in allowed:
        raise UsageError(f"precision={text if got is None else got!r}: {suggest(text, allowed)}")
    return text
