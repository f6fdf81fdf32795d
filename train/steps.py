"""How batches reach a module: brought to its device, and passed to steps that take fewer arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from lifecycle.core.errors import UsageError
from lifecycle.train.data import DataModule, move_batch
from lifecycle.train.memory_format import channels_last
from lifecycle.train.overridable import Overridable
from lifecycle.train.precision import Precision

if TYPE_CHECKING:
    from lifecycle.train.module import Module

Prepare = Callable[[Any, int], Any]
_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def bound_step(
    module: Module, name: str, precision: Precision | None = None, *, loaders: int = 1
) -> Callable[..., Any]:
    """A step of the module that may be called with batch, index, and the loader's index if there are several.

    Args:
        module: Its step may leave out the arguments that it does not need.
        name: ``training_step``, …
        precision: Whose context the step runs in, if it has one.
        loaders: How many loaders there are.

    Raises:
        UsageError: there are several loaders, and the step does not ask which one a batch is of; or there is
            one, and it insists.
    """
    step = getattr(module, name)
    parameters = inspect.signature(step).parameters
    if "dataloader_iter" in parameters:
        raise UsageError(
            f"{type(module).__name__}.{name} takes dataloader_iter, which is not supported; "
            "take (batch, batch_idx)"
        )
    open_ended = any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
    takes = 3 if open_ended else len([p for p in parameters.values() if p.kind is not p.VAR_KEYWORD])
    if loaders > 1 and takes < 3:
        raise UsageError(
            f"there are {loaders} loaders, and {type(module).__name__}.{name} does not take dataloader_idx: "
            f"write def {name}(self, batch, batch_idx, dataloader_idx=0)"
        )
    asked = [p for p in parameters.values() if p.default is p.empty and p.kind in _BY_POSITION]
    if loaders == 1 and len(asked) > 2:
        meant = "dataloader_idx=0" if name != "training_step" else f"{asked[2].name}=…"
        raise UsageError(
            f"{type(module).__name__}.{name} asks for {asked[2].name}, and gets a batch and its index: "
            f"write def {name}(self, batch, batch_idx, {meant})"
        )
    found = step if takes >= 2 else _batch_alone(step)
    return found if precision is None or precision.plain else _within(precision, found)


def _batch_alone(step: Callable[..., Any]) -> Callable[..., Any]:
    return lambda batch, *_: step(batch)


def _within(precision: Precision, step: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: object) -> Any:
        with precision.context():
            return step(*arguments)

    return call


def preparer(
    module: Module,
    datamodule: DataModule | None,
    precision: Precision,
    device: torch.device,
    *,
    images_last: bool = False,
) -> Prepare | None:
    """What brings a batch (and the index of its loader) to the device; None when there is nothing to do.

    Args:
        module: Its hooks of the transfer are called.
        datamodule: So are these, in place of the module's.
        precision: Converts what a batch holds.
        device: Where to.
        images_last: Whether channels of images are to be last in memory.
    """

    def hook(name: str) -> Callable[..., Any] | None:
        for owner, base in ((datamodule, DataModule), (module, Overridable)):
            if owner is not None and getattr(type(owner), name) is not getattr(base, name):
                return getattr(owner, name)  # type: ignore[no-any-return]
        return None

    before, transfer, after = (
        hook(name)
        for name in ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
    )
    if precision.plain and device.type == "cpu" and not (before or transfer or after or images_last):
        return None

    def prepare(batch: Any, loader: int) -> Any:
        batch = precision.convert_batch(batch)
        if before is not None:
            batch = before(batch, loader)
        batch = move_batch(batch, device) if transfer is None else transfer(batch, device, loader)
        if images_last:
            batch = channels_last(batch)
        return batch if after is None else after(batch, loader)

    return prepare
