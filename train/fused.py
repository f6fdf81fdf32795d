"""Torch's optimizers with all of a step in one kernel, where torch has that (``fused=True``)."""

from __future__ import annotations

import warnings
from typing import Any

from torch.optim import Optimizer

from lifecycle.train.optim import parameters_of

DEVICES = ("cpu", "cuda", "mps", "xpu")  # for which torch 2.13 brings fused kernels


def fuse(optimizer: Optimizer) -> None:
    """Have an optimizer step by its fused kernel, as if it had been made with ``fused=True``.

    One of whose groups says ``fused`` or ``foreach`` is left as it is. A checkpoint that is loaded says by
    which kernel it was written, and changes nothing of this.

    Warns:
        where torch has no such kernel.
    """
    if (reason := _why_not(optimizer)) is not None:
        warnings.warn(f"Trainer(fused=True): {reason}, and it steps as it is", stacklevel=2)
        return
    if not all(_is_open(group) for group in optimizer.param_groups):
        return
    # What torch sets besides (that the kernel unscales gradients, say) is taken from one that is made fused.
    make: Any = type(optimizer)
    made = make([{"params": group["params"]} for group in optimizer.param_groups], fused=True)
    for name in vars(made).keys() - vars(optimizer).keys():
        setattr(optimizer, name, getattr(made, name))
    for parameter, values in made.state.items():  # those of Adagrad begin before the first step
        for name, value in values.items():
            optimizer.state[parameter][name] = optimizer.state[parameter][name].to(value.device)
    optimizer.defaults["fused"] = True
    for group in optimizer.param_groups:
        group["fused"] = True
    optimizer.register_load_state_dict_pre_hook(_kept)


def _why_not(optimizer: Optimizer) -> str | None:
    """What keeps an optimizer from stepping by one kernel, if anything does."""
    name = type(optimizer).__name__
    if not type(optimizer).__module__.startswith("torch.optim") or "fused" not in optimizer.defaults:
        return f"torch has no fused kernel of {name}"
    for parameter in parameters_of(optimizer):
        if not parameter.is_floating_point() or parameter.device.type not in DEVICES:
            return f"torch's fused {name} takes no {parameter.dtype} on {parameter.device.type}"
    return None


def _is_open(group: dict[str, Any]) -> bool:
    """Whether the user has left to torch how a group is stepped."""
    return group["fused"] is None and group["foreach"] is None and not group["differentiable"]


def _kept(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """A state that is to be loaded, with the kernels that the optimizer has now."""
    own = optimizer.param_groups
    groups = [
        {**group, **({"fused": own[at]["fused"], "foreach": own[at]["foreach"]} if at < len(own) else {})}
        for at, group in enumerate(state["param_groups"])
    ]
    return {**state, "param_groups": groups}
