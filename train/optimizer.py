"""An optimizer as a module sees it in manual optimization: its steps are counted and scaled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch.optim import Optimizer

if TYPE_CHECKING:
    from lifecycle.train.module import Module

Step = Callable[..., object]


class ModuleOptimizer(Optimizer):
    """Wraps an optimizer; everything but `step` is the wrapped one's.

    It is an `Optimizer` by type, so that ``isinstance`` holds, and shares the wrapped one's state.

    Args:
        optimizer: What is wrapped.
        module: Whose optimizer it is.
        step: Makes one step: called with the optimizer, a closure or None, and further arguments.
    """

    def __init__(self, optimizer: Optimizer, module: Module, step: Step) -> None:
        self.optimizer = optimizer
        self._module = module
        self._step = step

    def step(self, closure: Callable[[], Any] | None = None, **kwargs: Any) -> Any:
        """One step, after `closure` if it is given; returns what that gave."""
        return self._step(self.optimizer, closure, **kwargs)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear gradients."""
        self.optimizer.zero_grad(set_to_none)

    @contextmanager
    def toggle_model(self, sync_grad: bool = True) -> Iterator[None]:
        """Let only this optimizer's parameters take gradients for a while."""
        with self._module.toggled_optimizer(self):
            yield

    def state_dict(self) -> dict[str, Any]:
        """The wrapped one's."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The wrapped one's."""
        self.optimizer.load_state_dict(state_dict)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """The wrapped one's."""
        self.optimizer.add_param_group(param_group)

    def __getattr__(self, name: str) -> Any:
        if name == "optimizer":
            raise AttributeError(name)
        return getattr(self.optimizer, name)

    def __getstate__(self) -> dict[str, Any]:
        return self.optimizer.__getstate__()

    def __repr__(self) -> str:
        return f"ModuleOptimizer({self.optimizer!r})"
