"""The inputs that a module's own steps give to its forward: real samples to calibrate and to compare with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lifecycle.core.errors import UsageError
from lifecycle.core.signature import Array, Signature
from lifecycle.core.stage import Context
from lifecycle.stages.fitting import data_of
from lifecycle.train.describe import arrays
from lifecycle.train.forward import with_forward
from lifecycle.train.trainer import Trainer

if TYPE_CHECKING:
    from lifecycle.train.module import Module


def record_inputs(module: Module, context: Context, split: str, *, batches: int) -> list[tuple[Tensor, ...]]:
    """What ``validation_step`` passes to forward for the first batches of a split.

    A loader may yield anything; only the module's step knows what of it is forward's input.

    Args:
        module: Left as it is.
        context: Data and seed.
        split: ``train`` or ``val``.
        batches: How many batches to read.

    Raises:
        UsageError: the step never calls forward.
    """
    seen: list[tuple[Tensor, ...]] = []
    forward = module.forward

    def record(*inputs: Tensor) -> object:
        seen.append(tuple(tensor.detach().clone() for tensor in inputs))
        return forward(*inputs)

    data = data_of(context)
    data.prepare_data()
    data.setup("fit")
    loader = getattr(data, f"{split}_dataloader")()
    trainer = Trainer(
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=batches,
    )
    with with_forward(module, record):
        trainer.validate(module, loader, verbose=False)
    if not seen:
        raise UsageError(
            f"{type(module).__name__}.validation_step never calls forward: call self(inputs) in it"
        )
    return seen


def samples(signature: Signature, inputs: list[tuple[Tensor, ...]], limit: int) -> dict[str, Array]:
    """The first `limit` recorded samples as one array for each input of the signature."""
    joined = tuple(torch.cat(column)[:limit] for column in zip(*inputs, strict=True))
    return arrays(signature, joined)
