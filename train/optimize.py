"""One training step in which the trainer computes gradients and steps the optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, cast

from torch import Tensor, enable_grad
from torch.optim import Optimizer

from lifecycle.core.errors import UsageError
from lifecycle.train.diagnose import explain_gradients
from lifecycle.train.finite import FiniteCheck
from lifecycle.train.hooks import STRATEGY, Hooks
from lifecycle.train.metrics import Logbook
from lifecycle.train.module import Module
from lifecycle.train.optim import wants_closure
from lifecycle.train.optimizer import ModuleOptimizer
from lifecycle.train.plan import Plan
from lifecycle.train.precision import Precision
from lifecycle.train.state import FitState


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What both ways of optimizing need."""

    module: Module
    hooks: Hooks
    state: FitState
    plan: Plan
    precision: Precision
    logbook: Logbook
    step: Callable[[object, int], object]  # training_step with the arguments that it takes
    scales: bool = False  # whether losses are scaled
    clip_val: float | None = None
    clip_algorithm: str | None = None
    finite: FiniteCheck | None = None
    unsynced: Callable[[], AbstractContextManager[Any]] | None = None  # around batches that wait
    after_backward: Callable[[], None] | None = None  # of manual optimization


class Optimize(Protocol):
    """Trains on one batch."""

    def __call__(self, batch: object, index: int, last: bool) -> None:
        """Run the step of batch `index`; `last` of the epoch."""

    def finish(self) -> None:
        """Step with the gradients that wait, if any: there will be no further batch."""

    def outputs(self) -> dict[str, object]:
        """What the step gave, as hooks see it."""


class Automatic:
    """The trainer computes gradients of the loss that `training_step` returns, and steps the optimizer.

    Pieces that the module overrides (``optimizer_step``, ``backward``, …) are called, the others are done
    directly.
    """

    def __init__(self, tools: Tools, optimizer: Optimizer) -> None:
        self.tools = tools
        self.optimizer = optimizer
        self.wrapped = ModuleOptimizer(optimizer, tools.module, self.step)
        hooks, overridden = tools.hooks, tools.hooks.overridden
        self.zero_grad = tools.module.optimizer_zero_grad if overridden("optimizer_zero_grad") else None
        self.backward = backward_of(tools)
        step = f"[LightningModule]{type(tools.module).__name__}.optimizer_step"
        self.optimizer_step = hooks.profiled(step, tools.module.optimizer_step)
        self.clip = overridden("configure_gradient_clipping") or bool(tools.clip_val)
        self.prepares = self.clip or bool(tools.hooks["on_before_optimizer_step"])
        own = overridden("optimizer_step") or hooks.timed
        self.direct = not (own or wants_closure(optimizer) or tools.scales)
        # An optimizer may call it without gradients being recorded.
        self.closure = enable_grad()(self.gradients)
        self.given: object = None
        self.loss: Tensor | None = None
        self.ran = False  # the closure, in this step
        self.batch: object = None
        self.index = 0

    def __call__(self, batch: object, index: int, last: bool) -> None:
        """Train on a batch; the optimizer steps with the last of each window of batches."""
        self.batch, self.index = batch, index
        tools = self.tools
        if not tools.plan.steps(index, last=last):
            if tools.unsynced is None:
                self.gradients()
            else:
                with tools.unsynced():
                    self.gradients()
            tools.state.pending += 1
            return
        if self.direct:
            self.gradients()
            if self.prepares:
                self.prepared(self.optimizer, None)
            self.optimizer.step()
        else:
            tools.logbook.hook, self.ran = "optimizer_step", False
            self.optimizer_step(tools.state.epoch, index, self.wrapped, self.closure)
            if not self.ran:
                raise UsageError(
                    f"{type(tools.module).__name__}.optimizer_step with {type(self.optimizer).__name__} "
                    "did not run optimizer_closure, which computes the gradients",
                    hint="Call optimizer.step(closure=optimizer_closure) in it.",
                )
        tools.state.pending = 0
        tools.state.global_step += 1

    def gradients(self) -> Tensor | None:
        """Run `training_step` and compute gradients; returns the loss (an optimizer's closure)."""
        tools, hooks, optimizer = self.tools, self.tools.hooks, self.optimizer
        tools.logbook.hook, self.ran = "training_step", True
        self.given = given = tools.step(self.batch, self.index)
        loss = given if type(given) is Tensor else _loss(given)
        if self.index % tools.plan.accumulate == 0:
            for call in hooks["on_before_zero_grad"]:
                tools.logbook.hook = "on_before_zero_grad"
                call(optimizer)
            if self.zero_grad is None:
                optimizer.zero_grad()
            else:
                tools.logbook.hook = "optimizer_zero_grad"
                self.zero_grad(tools.state.epoch, self.index, optimizer)
        if loss is None:
            self.loss = None
            return None
        self.loss = loss.detach()
        if tools.finite is not None:
            tools.finite.add(self.loss)
        if tools.plan.accumulate != 1:
            loss = loss / tools.plan.accumulate
            self.loss = loss.detach()
        backward(tools, loss, self.backward)
        return self.loss

    def step(
        self, optimizer: Optimizer, closure: Callable[[], object] | None = None, **options: Any
    ) -> object:
        """What ``optimizer.step`` does for a module: hooks and clipping come between gradients and step."""
        tools, precision = self.tools, self.tools.precision
        hook = tools.logbook.hook
        found: object
        if tools.scales:
            # The scale must be undone before anybody looks at gradients: they cannot be computed within.
            found = closure() if closure is not None else None
            precision.unscale_(optimizer)
            self.prepared(optimizer, None)
            precision.step(optimizer, **options)
        else:
            found = optimizer.step(closure=lambda: self.prepared(optimizer, closure), **options)  # type: ignore[arg-type, return-value]
        tools.logbook.hook = hook
        return found

    def prepared(self, optimizer: Optimizer, closure: Callable[[], object] | None) -> object:
        """Run a closure, then the hooks before a step."""
        found = closure() if closure is not None else None
        tools = self.tools
        for call in tools.hooks["on_before_optimizer_step"]:
            tools.logbook.hook = "on_before_optimizer_step"
            call(optimizer)
        if self.clip:
            tools.logbook.hook = "configure_gradient_clipping"
            tools.module.configure_gradient_clipping(
                optimizer, gradient_clip_val=tools.clip_val, gradient_clip_algorithm=tools.clip_algorithm
            )
        return found

    def finish(self) -> None:
        """Step with what a shorter window of batches has gathered."""
        if self.tools.state.pending:
            self.step(self.optimizer)
            self.tools.state.pending = 0
            self.tools.state.global_step += 1

    def outputs(self) -> dict[str, object]:
        """``loss``, detached and as accumulated, and the rest of what the step gave."""
        if self.loss is None:
            return {}
        if isinstance(self.given, Tensor):
            return {"loss": self.loss}
        return {**cast("Mapping[str, object]", self.given), "loss": self.loss}


def backward_of(tools: Tools) -> Callable[..., None] | None:
    """The module's way to compute gradients; None when the loss may be asked directly."""
    hooks = tools.hooks
    if not (hooks.timed or hooks.split or hooks.overridden("backward")):
        return None
    return hooks.phase("backward", hooks.profiled(f"{STRATEGY}.backward", tools.module.backward))


def backward(
    tools: Tools, loss: Tensor, overridden: Callable[..., None] | None, *args: Any, **kwargs: Any
) -> None:
    """Gradients of a loss, with the hooks around.

    Raises:
        UsageError: there are none of this loss; says why.
    """
    if tools.scales:
        loss = tools.precision.scale(loss)
    for call in tools.hooks["on_before_backward"]:
        tools.logbook.hook = "on_before_backward"
        call(loss)
    try:
        if overridden is None:
            loss.backward(*args, **kwargs)  # type: ignore[no-untyped-call]
        else:
            tools.logbook.hook = "backward"
            overridden(loss, *args, **kwargs)
    except RuntimeError as error:
        finding = None if args or "gradient" in kwargs else explain_gradients(tools.module, loss)
        if finding is None:
            raise
        raise UsageError(str(finding)) from error
    for call in tools.hooks["on_after_backward"]:
        tools.logbook.hook = "on_after_backward"
        call()


def _loss(given: object) -> Tensor | None:
    if isinstance(given, Tensor):
        return given
    if given is None:
        return None
    if isinstance(given, Mapping):
        loss = given.get("loss")
        if isinstance(loss, Tensor):
            return loss
        raise UsageError(
            "training_step returned a dictionary without a tensor 'loss'; it has: "
            + ", ".join(map(str, given))
        )
    raise UsageError(
        f"training_step returned {type(given).__name__}; allowed: a tensor, a dictionary with 'loss', None"
    )
