"""The inputs that a module's own steps give to its forward, passed on as they come, in bounded memory."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from lifecycle.core.errors import UsageError
from lifecycle.core.stage import Context
from lifecycle.stages.fitting import data_of
from lifecycle.train.forward import with_forward
from lifecycle.train.trainer import Trainer

if TYPE_CHECKING:
    from lifecycle.train.module import Module


def pass_inputs(
    module: Module, context: Context, split: str, forward: Callable[..., object], *, batches: int
) -> None:
    """Let ``validation_step`` pass its inputs to `forward`, batch by batch; nothing of them is kept.

    A loader may yield anything; only the module's step knows what of it is forward's input.

    Args:
        module: Left as it is.
        context: Data and seed.
        split: ``train`` or ``val``.
        forward: Takes and gives what the module's own does; every argument by its place.
        batches: How many batches to read.

    Raises:
        UsageError: the step never calls forward.
    """
    calls = 0

    def counted(*inputs: Tensor, **named: Tensor) -> object:
        nonlocal calls
        calls += 1
        return forward(*in_order(module, inputs, named))

    data = data_of(context)
    data.prepare_data()
    data.setup("fit")
    loader = getattr(data, f"{split}_dataloader")()
    trainer = Trainer(
        accelerator="cpu" if context.several else "auto",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=batches,
    )
    with with_forward(module, counted):
        trainer.validate(module, loader, verbose=False)
    if not calls:
        raise UsageError(
            f"{type(module).__name__}.validation_step never calls forward: call self(inputs) in it"
        )


def in_order(module: Module, given: tuple[Tensor, ...], named: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """Arguments of forward in the order of its parameters, those given by name too."""
    if not named:
        return given
    bound = inspect.signature(type(module).forward).bind(module, *given, **named)
    return tuple(value for name, value in bound.arguments.items())[1:]
