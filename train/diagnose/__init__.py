"""Why the first batch failed: which layer, what it got, what it expects, and what to write instead."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import nn

from lifecycle.core.errors import LifecycleError
from lifecycle.train.diagnose.convolution import explain_convolution, explain_pool
from lifecycle.train.diagnose.devices import explain_device
from lifecycle.train.diagnose.dtypes import explain_type
from lifecycle.train.diagnose.finding import Finding
from lifecycle.train.diagnose.frames import scene_of
from lifecycle.train.diagnose.gradients import explain_gradients
from lifecycle.train.diagnose.linear import explain_linear, explain_view
from lifecycle.train.diagnose.losses import explain_loss
from lifecycle.train.diagnose.normalisation import explain_normalisation
from lifecycle.train.diagnose.operands import explain_anything, explain_folded_batch, explain_product
from lifecycle.train.diagnose.scene import Scene
from lifecycle.train.diagnose.sequences import (
    explain_attention,
    explain_embedding,
    explain_recurrent,
    explain_tuple,
)
from lifecycle.train.diagnose.witness import witness

__all__ = ["explain", "explain_gradients"]

log = logging.getLogger(__name__)
# The first that has something to say is heard: what is certain before what is likely.
_EXPLAINERS: tuple[Callable[[Scene], Finding | None], ...] = (
    explain_tuple,
    explain_device,
    explain_type,
    explain_folded_batch,
    explain_loss,
    explain_linear,
    explain_view,
    explain_convolution,
    explain_normalisation,
    explain_pool,
    explain_recurrent,
    explain_attention,
    explain_embedding,
    explain_product,
    explain_anything,
)
_EXPLAINED = (RuntimeError, ValueError, IndexError, TypeError, AttributeError, AssertionError)


def explain(error: Exception, module: nn.Module, again: Callable[[], object]) -> str | None:
    """Say what made a step fail, in the words of the user's source.

    Args:
        error: What the step raised.
        module: Whose step it was.
        again: Repeats the failing call; it may be called once, and its state does not matter any more.

    Returns:
        The text of an error to be raised from `error`, or None when there is nothing to add.
    """
    if not isinstance(error, _EXPLAINED) or isinstance(error, LifecycleError | torch.OutOfMemoryError):
        return None
    if "device-side assert" in str(error):
        return (
            "An index was out of range on the GPU, which cannot be used any more by this process.\n"
            "Run the same with accelerator='cpu': the error then names the layer and the index."
        )
    try:
        return _explained(error, module, again)
    except Exception:
        # An explanation must never take the place of the error that it is about.
        log.debug("no explanation of %r", error, exc_info=True)
        return None


def _explained(error: Exception, module: nn.Module, again: Callable[[], object]) -> str | None:
    scene = witness(module, again) or scene_of(error, module)
    compiled = type(error).__module__.startswith("torch._dynamo")
    if type(scene.error) is not type(error) and not compiled:
        return None
    with torch.no_grad():
        for explainer in _EXPLAINERS:
            finding = explainer(scene)
            if finding is not None:
                return str(finding)
    return None
