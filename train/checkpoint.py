"""The resume file: one ``.ckpt`` with Lightning's eight top-level keys, tensors and plain values alone.

What exact resume needs beyond Lightning lies below ``loops``.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint

from lifecycle.core.canonical import write_whole
from lifecycle.core.errors import ArtifactError, UsageError
from lifecycle.train.module import Module
from lifecycle.train.optim import Optimization
from lifecycle.train.state import FitState

if TYPE_CHECKING:
    from lifecycle.train.callbacks.base import Callback

FORMAT_VERSION = "2.6.0"  # of PyTorch Lightning, whose layout this is
KEYS = (
    "epoch",
    "global_step",
    "pytorch-lightning_version",
    "state_dict",
    "loops",
    "callbacks",
    "optimizer_states",
    "lr_schedulers",
)
_PLAIN = (
    "A checkpoint holds tensors, numbers, text, lists and dictionaries, so that reading it runs no code: "
    "keep other arguments out with save_hyperparameters(ignore=...), and other state out of state_dict()."
)


def snapshot(
    module: Module, optimization: Optimization, state: FitState, callbacks: Sequence[Callback], seed: int
) -> dict[str, object]:
    """Everything that the rest of a fit depends on, at the end of an epoch."""
    optimizer = optimization.optimizer
    content: dict[str, object] = {
        "epoch": state.epoch,
        "global_step": state.global_step,
        "pytorch-lightning_version": FORMAT_VERSION,
        "state_dict": module.state_dict(),
        "loops": {
            "lifecycle": {
                "counters": state.counters(),
                "seed": seed,
                # Copies: a loss may lie in a larger storage, whose other bytes would be written too.
                "metrics": {name: value.clone() for name, value in state.callback_metrics.items()},
            }
        },
        "callbacks": {c.state_key: c.state_dict() for c in callbacks if c.state_dict()},
        "optimizer_states": [optimizer.state_dict()] if optimizer else [],
        "lr_schedulers": [schedule.scheduler.state_dict() for schedule in optimization.schedules],
    }
    if module.hparams:
        content["hyper_parameters"] = dict(module.hparams)
    return content


def restore(
    content: Mapping[str, object],
    module: Module,
    optimization: Optimization,
    state: FitState,
    callbacks: Sequence[Callback],
) -> int:
    """Put a fit back to where `snapshot` was taken; returns the seed that it ran under.

    Raises:
        UsageError: the checkpoint is of another trainer, model or optimizer; says what differs.
    """
    loops = cast("Mapping[str, Mapping[str, object]]", content["loops"])
    if "lifecycle" not in loops:
        raise UsageError(
            "the checkpoint was not written by this trainer, so a fit cannot go on from it; "
            "its weights can be read with load_from_checkpoint"
        )
    weights = cast("Mapping[str, torch.Tensor]", content["state_dict"])
    _check_keys(set(weights), set(module.state_dict()))
    module.load_state_dict(weights)
    optimizers = cast("list[dict[str, object]]", content["optimizer_states"])
    if optimization.optimizer is not None and optimizers:
        optimization.optimizer.load_state_dict(optimizers[0])
    saved = cast("list[dict[str, object]]", content["lr_schedulers"])
    if len(saved) != len(optimization.schedules):
        raise UsageError(
            f"the checkpoint holds {len(saved)} learning rate schedulers, "
            f"and configure_optimizers returned {len(optimization.schedules)}"
        )
    for schedule, values in zip(optimization.schedules, saved, strict=True):
        schedule.scheduler.load_state_dict(values)
    states = cast("Mapping[str, Mapping[str, object]]", content["callbacks"])
    for callback in callbacks:
        if callback.state_key in states:
            callback.load_state_dict(states[callback.state_key])
    own = loops["lifecycle"]
    state.restore(cast("dict[str, int]", own["counters"]))
    # Schedules and callbacks of an epoch without validation follow the metrics of an earlier one.
    state.callback_metrics.update(cast("Mapping[str, torch.Tensor]", own["metrics"]))
    return cast("int", own["seed"])


def save_ckpt(path: Path, content: Mapping[str, object]) -> None:
    """Write a checkpoint whole: aside, synced, renamed.

    Raises:
        UsageError: it would hold an object that only unpickling could bring back; says of which class.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()  # the archive's entries are named after the file; in memory they are always alike
    try:
        torch.save(dict(content), buffer)
    except (AttributeError, pickle.PicklingError, TypeError) as error:
        raise UsageError(f"{path.name} cannot be written: {error}", hint=_PLAIN) from error
    buffer.seek(0)
    if unsafe := get_unsafe_globals_in_checkpoint(buffer):
        raise UsageError(f"{path.name} would hold {', '.join(sorted(unsafe))}", hint=_PLAIN)
    write_whole(path, buffer.getvalue())


def load_ckpt(path: Path) -> dict[str, object]:
    """Read a checkpoint; tensors and plain values only.

    Raises:
        UsageError: there is no such file.
        ArtifactError: the file is torn or is not a checkpoint.
    """
    if not path.is_file():
        beside = sorted(p.name for p in path.parent.glob("*.ckpt")) if path.parent.is_dir() else []
        raise UsageError(f"no checkpoint {path}; beside it: {', '.join(beside) or '(nothing)'}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ArtifactError(f"checkpoint {path} cannot be read: {error}") from error
    missing = [key for key in KEYS if not isinstance(content, dict) or key not in content]
    if missing:
        raise ArtifactError(f"{path} is not a checkpoint of a trainer: it lacks {', '.join(missing)}")
    return cast("dict[str, object]", content)


def _check_keys(saved: set[str], wanted: set[str]) -> None:
    if saved == wanted:
        return
    lines = [f"only in the checkpoint: {name}" for name in sorted(saved - wanted)[:5]]
    lines += [f"only in the module: {name}" for name in sorted(wanted - saved)[:5]]
    raise UsageError("the checkpoint is of another model:\n  " + "\n  ".join(lines))
