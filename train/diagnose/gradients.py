"""Losses that no gradients can be computed of."""

from __future__ import annotations

from torch import Tensor, nn

from lifecycle.train.diagnose.finding import Finding, times


def explain_gradients(module: nn.Module, loss: Tensor) -> Finding | None:
    """Why there are no gradients of a loss, if it is the loss that is wrong."""
    name = type(module).__name__
    if not loss.requires_grad:
        parameters = list(module.parameters())
        if not any(parameter.requires_grad for parameter in parameters):
            return Finding(
                title=f"Nothing in {name} can be trained.",
                got=f"{len(parameters)} parameters, all frozen",
                expects="one that requires gradients, at least",
                write="self.unfreeze(), or requires_grad_(True) for what is to be trained",
            )
        return Finding(
            title=f"The loss of {name} depends on none of its parameters.",
            got="a tensor that was detached, computed without gradients, or made of plain numbers",
            expects="one that was computed from the module's outputs",
            write="the loss without .detach(), .item(), torch.tensor(…) or torch.no_grad() on its way",
        )
    if loss.numel() != 1:
        return Finding(
            title=f"The loss of {name} is several numbers.",
            got=f"a loss of {times(loss.shape)}, as with reduction='none'",
            expects="one number",
            write="loss.mean()",
        )
    return None
