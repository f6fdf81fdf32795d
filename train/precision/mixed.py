"""Mixed precision: sixteen bits where they do no harm, and losses scaled for float16."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import LBFGS, Optimizer

from lifecycle.core.errors import UsageError
from lifecycle.train.precision.base import Closure, Precision, one_of, plain_step

MIXED = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}


class MixedPrecision(Precision):
    """Weights in single precision, products of matrices and convolutions in sixteen bits (autocast).

    float16 has too few exponents for small gradients: the loss is scaled up and the gradients down again,
    and a step whose gradients overflow is left out (Micikevicius et al., "Mixed Precision Training", 2018).

    Args:
        precision: ``16-mixed`` or ``bf16-mixed``.
        device: The type of device that computes.
        scaler: For ``16-mixed``: one with other options than those of torch.
    """

    plain = False
    state_key: ClassVar[str] = "MixedPrecision"

    def __init__(self, precision: str, device: str = "cuda", scaler: GradScaler | None = None) -> None:
        self.name = one_of(precision, MIXED)
        self.device = device
        self.dtype = MIXED[precision]
        if scaler is not None and precision != "16-mixed":
            raise UsageError("bf16-mixed takes no scaler: bfloat16 has the exponents of float32")
        self.scaler = GradScaler(device) if scaler is None and precision == "16-mixed" else scaler
        self.scales = self.scaler is not None
        self._num_scaled = 0  # losses so far
        self._stepped: dict[int, int] = {}  # by optimizer: losses until its last step
        self._unscaled: set[int] = set()
        self._update_due = False

    def __getstate__(self) -> dict[str, object]:
        """What a copy takes over; torch copies a scaler only when no change of its scale is due."""
        self._update()
        return vars(self).copy()

    def convert_module(self, module: nn.Module) -> None:
        """Leave everything as it is; weights must be in float32.

        Raises:
            UsageError: a weight that is to be trained is in float16, whose gradients cannot be unscaled.
        """
        for name, parameter in module.named_parameters() if self.scaler else ():
            if parameter.requires_grad and parameter.dtype == torch.float16:
                raise UsageError(
                    f"precision='16-mixed' keeps weights in float32, and {name} is in float16",
                    hint="Leave out .half(), or train in float16 throughout: precision='16-true'.",
                )

    def context(self) -> AbstractContextManager[object]:
        """Autocast."""
        # Without its cache: a weight that was converted before an optimizer step inside training_step
        # (manual optimization) would be used in its old state after it.
        return torch.autocast(self.device, dtype=self.dtype, cache_enabled=False)

    def scale(self, loss: Tensor) -> Tensor:
        """The loss times the scale, which changes here, never between a loss and its step."""
        if self.scaler is None:
            return loss
        self._update()
        self._num_scaled += 1
        return self.scaler.scale(loss)

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the optimizer's gradients by the scale and note whether they overflowed.

        Raises:
            UsageError: the gradients are not those of a scaled loss, or the optimizer wants the loss anew.
        """
        if self.scaler is None or not _has_gradients(optimizer):
            return
        if isinstance(optimizer, LBFGS):
            raise UsageError(
                "LBFGS asks for the loss several times in a step, which precision='16-mixed' cannot scale; "
                "use precision='bf16-mixed' or '32-true'"
            )
        if self._stepped.get(id(optimizer), 0) == self._num_scaled:
            raise UsageError(
                f"precision='16-mixed' scales losses, and {type(optimizer).__name__} was to step by the "
                "gradients of a loss that was not scaled, or that it had stepped by before",
                hint="Write self.manual_backward(loss) in place of loss.backward(), once before each step.",
            )
        self.scaler.unscale_(optimizer)
        self._unscaled.add(id(optimizer))

    def step(self, optimizer: Optimizer, closure: Closure | None = None, **options: object) -> object:
        """Step the optimizer, unless its gradients overflowed; a closure runs before."""
        if self.scaler is None:
            return plain_step(optimizer, closure, options)
        if closure is not None:
            closure()
        if not _has_gradients(optimizer):
            return plain_step(optimizer, None, options)
        if id(optimizer) not in self._unscaled:
            self.unscale_(optimizer)
        self._unscaled.discard(id(optimizer))
        self._stepped[id(optimizer)] = self._num_scaled
        self._update_due = True
        return self.scaler.step(optimizer, **options)

    def state_dict(self) -> dict[str, object]:
        """The scale, and how long it has not changed."""
        self._update()
        return self.scaler.state_dict() if self.scaler else {}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on with a scale; nothing where none is used."""
        if self.scaler and state:
            self.scaler.load_state_dict(dict(state))

    def _update(self) -> None:
        """Change the scale after a step: once for all optimizers that stepped by losses of the same scale."""
        if self.scaler and self._update_due:
            self._update_due = False
            self.scaler.update()


def _has_gradients(optimizer: Optimizer) -> bool:
    return any(p.grad is not None for group in optimizer.param_groups for p in group["params"])
