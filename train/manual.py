"""What a module calls when it steps its optimizers itself (``self.automatic_optimization = False``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor
from torch.optim import Optimizer

from lifecycle.core.errors import UsageError
from lifecycle.train.overridable import Overridable

if TYPE_CHECKING:
    from lifecycle.train.optimizer import ModuleOptimizer
    from lifecycle.train.trainer import Trainer

T = TypeVar("T")


class ManualOptimization(Overridable):
    """The part of a module that reaches for the optimizers of the fit at work."""

    automatic_optimization: bool = True
    trainer: Trainer | None = None

    def optimizers(self, use_pl_optimizer: bool = True) -> Any:
        """The optimizer of the fit at work, or a list when there are several.

        Args:
            use_pl_optimizer: Wrapped, so that steps are counted and scaled; else the plain ones.
        """
        found = self._at_work().optimizers_for_module(wrapped=use_pl_optimizer)
        return found[0] if len(found) == 1 else found

    def lr_schedulers(self) -> Any:
        """The learning rate scheduler of the fit at work, a list when there are several, or None."""
        found = [config.scheduler for config in self._at_work().lr_scheduler_configs]
        return None if not found else found[0] if len(found) == 1 else found

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """In manual optimization, what ``loss.backward()`` is: scales the loss where precision needs it."""
        if self.automatic_optimization:
            raise UsageError("manual_backward needs self.automatic_optimization = False in __init__")
        self._at_work().backward(loss, *args, **kwargs)

    def toggle_optimizer(self, optimizer: Optimizer | ModuleOptimizer) -> None:
        """Let only the parameters of this optimizer take gradients, until `untoggle_optimizer`."""
        own = {id(p) for group in optimizer.param_groups for p in group["params"]}
        others = [
            p
            for other in self._at_work().optimizers
            for group in other.param_groups
            for p in group["params"]
            if id(p) not in own
        ]
        self._toggled = [(p, p.requires_grad) for p in others]
        for parameter in others:
            parameter.requires_grad_(False)

    def untoggle_optimizer(self, optimizer: Optimizer | ModuleOptimizer) -> None:
        """Undo `toggle_optimizer`."""
        for parameter, before in getattr(self, "_toggled", ()):
            parameter.requires_grad_(before)
        self._toggled = []

    @contextmanager
    def toggled_optimizer(self, optimizer: Optimizer | ModuleOptimizer) -> Iterator[None]:
        """`toggle_optimizer` for a while."""
        self.toggle_optimizer(optimizer)
        try:
            yield
        finally:
            self.untoggle_optimizer(optimizer)

    def clip_gradients(
        self,
        optimizer: Optimizer | ModuleOptimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients of an optimizer's parameters, by ``norm`` or ``value``.

        Args:
            optimizer: Whose parameters.
            gradient_clip_val: How far; by default what the trainer says.
            gradient_clip_algorithm: By default what the trainer says, else ``norm``.

        Raises:
            UsageError: the trainer says something else.
        """
        from lifecycle.train.optim import clip_gradients

        trainer = self._at_work()
        value = _agreed("gradient_clip_val", gradient_clip_val, trainer.gradient_clip_val)
        algorithm = _agreed(
            "gradient_clip_algorithm", gradient_clip_algorithm, trainer.gradient_clip_algorithm
        )
        clip_gradients(optimizer, value, algorithm or "norm")

    def _at_work(self) -> Trainer:
        if self.trainer is None:
            raise UsageError(f"{type(self).__name__} belongs to no Trainer yet: this works during a fit")
        return self.trainer


def _agreed(name: str, given: T | None, of_trainer: T | None) -> T | None:
    """What was given, or what the trainer says.

    Raises:
        UsageError: both say something, and not the same.
    """
    if given is not None and of_trainer is not None and given != of_trainer:
        raise UsageError(
            f"clip_gradients({name}={given!r}) and Trainer({name}={of_trainer!r}) do not agree: "
            "say it in one place"
        )
    return of_trainer if given is None else given
