"""From what a checkpoint holds back to a module and a fit that goes on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from torch import Tensor

from lifecycle.core.errors import UsageError
from lifecycle.train.checkpoint import OWN, Progress, load_ckpt, own_state
from lifecycle.train.errors import other_groups, other_model, other_optimizer
from lifecycle.train.foreign import warn_of_what_differs
from lifecycle.train.hparams import arguments_from
from lifecycle.train.module import Module
from lifecycle.train.optim import Optimization
from lifecycle.train.pooling import mean_gradients, merged
from lifecycle.train.strategies.base import Strategy
from lifecycle.train.torchmetric import metrics_of, restore_metrics

if TYPE_CHECKING:
    from lifecycle.train.callbacks.base import Callback

log = logging.getLogger(__name__)
M = TypeVar("M", bound=Module)


def restore_module(
    content: Mapping[str, Any],
    module: Module,
    *,
    strict: bool | None = None,
    strategy: Strategy | None = None,
) -> None:
    """Load the weights.

    Args:
        content: Of a checkpoint.
        module: Whose weights.
        strict: Whether keys must be the same; by default as the module says.
        strategy: Of a module that may lie in several processes.

    Raises:
        UsageError: the checkpoint is of another model; says what differs.
    """
    weights = cast("Mapping[str, Tensor]", content["state_dict"])
    strict = module.strict_loading if strict is None else strict
    if strict and (error := other_model(weights, module.state_dict())) is not None:
        raise error
    (strategy or Strategy()).load_state_dict(module, weights, strict=strict)


def restore_callbacks(content: Mapping[str, Any], callbacks: Sequence[Callback]) -> None:
    """Give every callback its state back."""
    states = content.get("callbacks", {})
    for callback in callbacks:
        if callback.state_key in states:
            callback.load_state_dict(states[callback.state_key])


def restore_progress(
    content: Mapping[str, Any], module: Module, progress: Progress, strategy: Strategy | None = None
) -> None:
    """Put a fit back to where `snapshot` was taken, when its optimizers are made.

    Raises:
        UsageError: the checkpoint is of other optimizers or data; says what differs.
    """
    strategy = strategy or Strategy()
    own = own_state(content, automatic=module.automatic_optimization)
    _tell_of_metrics(own, strategy)
    own = own | part_of_rank(own, strategy)
    progress.state.load_state_dict(own["state"])
    progress.results.load_state_dict(own["results"])
    _restore_optimization(content, module, progress.optimization, strategy)
    if progress.precision.state_key in content:
        progress.precision.load_state_dict(content[progress.precision.state_key])
    restore_metrics(module, own["metrics"])
    progress.logbook.load_state_dict(own["logbook"], dict(metrics_of(module)))
    strategy.load_gradients(module, own["gradients"])
    if own["seed"] is None:
        warn_of_what_differs(content, progress.state)
    else:
        progress.seed = own["seed"]


def part_of_rank(own: Mapping[str, Any], strategy: Strategy) -> dict[str, Any]:
    """What a process takes back of what each had of its own, when there may be another number of them now.

    Another number begins with the sums of all in the first process, and with the mean of gradients that wait.
    """
    rank, count = strategy.global_rank, strategy.world_size
    ranks = [own, *own.get("ranks", ())]
    gradients = [part["gradients"] for part in ranks if part["gradients"] is not None]
    whole = mean_gradients(gradients)
    if len(ranks) == count:
        alike = len(gradients) == count and not strategy.sharded
        return {name: ranks[rank][name] for name in OWN} | ({} if alike else {"gradients": whole})
    found: dict[str, Any] = {name: own[name] for name in OWN}
    found["logbook"] = [] if rank else merged([part["logbook"] for part in ranks])
    found["gradients"] = whole
    if own["metrics"] and not own["state"]["epoch_done"]:
        found["metrics"] = {} if rank else own["metrics"]
    return found


def _tell_of_metrics(own: Mapping[str, Any], strategy: Strategy) -> None:
    """Say so where a cut epoch's counts of torchmetrics objects are those of one process of several."""
    before, now = 1 + len(own.get("ranks", ())), strategy.world_size
    counted = not own["state"]["epoch_done"] and any(each["count"] for each in own["metrics"].values())
    if counted and before not in (1, now) and strategy.is_global_zero:
        log.warning(
            "the checkpoint is of %d processes, and there are %d now: torchmetrics objects count what the "
            "first had of this epoch",
            before,
            now,
        )


def _restore_optimization(
    content: Mapping[str, Any], module: Module, optimization: Optimization, strategy: Strategy
) -> None:
    for key, what, wanted in (
        ("optimizer_states", "optimizers", optimization.optimizers),
        ("lr_schedulers", "learning rate schedulers", optimization.schedules),
    ):
        saved = content.get(key, [])
        if wanted and not content.get("optimizer_states"):
            raise UsageError(
                "the checkpoint holds weights alone (save_weights_only=True), so a fit cannot go on from it",
                hint="Begin a new fit with module = load_from_checkpoint(path), or save whole checkpoints.",
            )
        if len(saved) != len(wanted):
            raise UsageError(
                f"the checkpoint holds {len(saved)} {what}, and configure_optimizers returned {len(wanted)}",
                hint="A fit goes on with the optimizers and schedulers that were saved.",
            )
    for optimizer, values in zip(optimization.optimizers, content["optimizer_states"], strict=True):
        if (error := other_groups(values, optimizer)) is not None:
            raise error
        strategy.load_optimizer_state(module, optimizer, values)
        if (error := other_optimizer(values, optimizer)) is not None:
            raise error
    for schedule, values in zip(optimization.schedules, content["lr_schedulers"], strict=True):
        schedule.scheduler.load_state_dict(values)


def load_module(
    cls: type[M],
    path: Path,
    map_location: Any,
    strict: bool | None,
    overrides: Mapping[str, Any],
    hparams_file: str | Path | None = None,
) -> M:
    """Make a module with the arguments that a checkpoint or a file holds, and give it the weights."""
    content = cast("dict[str, Any]", load_ckpt(path, map_location or "cpu"))
    module = cls(**arguments_from(content, cls, overrides, hparams_file=hparams_file))
    module.configure_model()
    module.on_load_checkpoint(content)
    restore_module(content, module, strict=strict)
    if map_location is None:
        return module
    tensors = (value for value in content["state_dict"].values() if isinstance(value, Tensor))
    return module.to(next((tensor.device for tensor in tensors), module.device))
