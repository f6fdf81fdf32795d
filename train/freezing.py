"""What is frozen in a network, and what its optimizers and schedules know of the rest: all by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from lifecycle.core.errors import UsageError
from lifecycle.train.optim import Schedule

Group: TypeAlias = dict[str, object]  # a group of an optimizer, its parameters by name


def set_trainable(module: nn.Module, trainable: bool) -> None:
    """Freeze or unfreeze a module's own parameters; a frozen batch norm does not follow the data either."""
    if isinstance(module, _BatchNorm):
        module.track_running_stats = trainable
    for param in module.parameters(recurse=False):
        param.requires_grad = trainable


def frozen(module: nn.Module) -> dict[str, list[str]]:
    """The names of frozen ``parameters``, and of ``batch_norms`` that do not follow the data."""
    return {
        "parameters": [name for name, param in module.named_parameters() if not param.requires_grad],
        "batch_norms": [
            name
            for name, part in module.named_modules()
            if isinstance(part, _BatchNorm) and not part.track_running_stats
        ],
    }


def refreeze(module: nn.Module, names: Mapping[str, list[str]]) -> None:
    """Freeze what `frozen` named, and nothing else."""
    if not names:
        return
    for name, param in module.named_parameters():
        param.requires_grad = name not in names["parameters"]
    for name, part in module.named_modules():
        if isinstance(part, _BatchNorm):
            part.track_running_stats = name not in names["batch_norms"]


def exchanged(group: Mapping[str, Any], names: Mapping[Any, object]) -> Group:
    """A group of an optimizer with names for its parameters, or parameters for their names.

    Raises:
        UsageError: one of them has no counterpart.
    """
    params = list(group["params"])
    missing = sum(param not in names for param in params)
    if missing:
        raise UsageError(
            f"finetuning cannot keep track of {missing} parameters in a group of the optimizer: "
            "they are not parameters of the module (or of this version of it)"
        )
    return {**group, "params": [names[param] for param in params]}


def identities(optimizer: Optimizer) -> set[int]:
    """The ``id`` of every parameter of an optimizer."""
    return {id(param) for group in optimizer.param_groups for param in group["params"]}


def widen(schedules: Iterable[Schedule]) -> None:
    """Have schedulers that keep one rate for each group know of groups that were added after them.

    A new group is scheduled as the first one is, from its own learning rate.
    """
    for schedule in schedules:
        scheduler = schedule.scheduler
        rates = getattr(scheduler, "base_lrs", None)
        if rates is None:
            continue
        for group in scheduler.optimizer.param_groups[len(rates) :]:
            rates.append(group.setdefault("initial_lr", group["lr"]))
            if hasattr(scheduler, "lr_lambdas"):
                scheduler.lr_lambdas.append(scheduler.lr_lambdas[0])
