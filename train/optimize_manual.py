"""One training step in which the module computes gradients and steps its optimizers itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from lifecycle.core.errors import UsageError
from lifecycle.train.optimize import Tools


class Manual:
    """The module's `training_step` computes gradients and steps its optimizers itself."""

    def __init__(self, tools: Tools) -> None:
        if tools.clip_val is not None:
            raise UsageError(
                f"Trainer(gradient_clip_val={tools.clip_val}) clips in automatic optimization only",
                hint="Call self.clip_gradients(optimizer, …) in training_step before optimizer.step().",
            )
        if tools.plan.accumulate != 1:
            raise UsageError(
                f"Trainer(accumulate_grad_batches={tools.plan.accumulate}) needs automatic optimization",
                hint="Step the optimizer only in every n-th batch in training_step.",
            )
        self.tools = tools
        self.given: object = None

    def __call__(self, batch: object, index: int, last: bool) -> None:
        """Run the step."""
        self.tools.logbook.hook = "training_step"
        self.given = self.tools.step(batch, index)
        if not (self.given is None or isinstance(self.given, Tensor | Mapping)):
            raise UsageError(
                f"training_step returned {type(self.given).__name__}; allowed: a tensor, a dictionary, None"
            )

    def step(
        self, optimizer: Optimizer, closure: Callable[[], object] | None = None, **options: Any
    ) -> object:
        """What ``optimizer.step`` does for a module."""
        tools, found = self.tools, None
        if tools.scales:
            found = closure() if closure is not None else None
            tools.precision.unscale_(optimizer)
            self._before(optimizer)
            tools.precision.step(optimizer, **options)
        else:
            found = optimizer.step(closure=lambda: self._gradients(optimizer, closure), **options)  # type: ignore[arg-type, return-value]
        tools.state.global_step += 1
        return found

    def _gradients(self, optimizer: Optimizer, closure: Callable[[], object] | None) -> object:
        found = closure() if closure is not None else None
        self._before(optimizer)
        return found

    def _before(self, optimizer: Optimizer) -> None:
        for call in self.tools.hooks["on_before_optimizer_step"]:
            call(optimizer)

    def finish(self) -> None:
        """Nothing waits: the module stepped when it wanted to."""

    def outputs(self) -> dict[str, object]:
        """What the step gave; a tensor is the loss."""
        given = self.given
        found = {"loss": given} if isinstance(given, Tensor) else dict(given or {})  # type: ignore[call-overload]
        if isinstance(found.get("loss"), Tensor):
            found["loss"] = found["loss"].detach()
        return found
