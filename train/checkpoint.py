"""The resume file: one ``.ckpt`` with Lightning's eight top-level keys, tensors and plain values alone.

What exact resume needs beyond Lightning lies below ``loops``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch

from lifecycle.core.errors import ArtifactError, UsageError
from lifecycle.train.errors import unreadable
from lifecycle.train.foreign import lightnings_state
from lifecycle.train.hparams import checkpointed
from lifecycle.train.metrics import Logbook
from lifecycle.train.module import Module
from lifecycle.train.optim import Optimization, scheduler_states
from lifecycle.train.packed import unpacked
from lifecycle.train.precision import Precision
from lifecycle.train.results import Results
from lifecycle.train.state import FitState
from lifecycle.train.strategies.base import Strategy
from lifecycle.train.torchmetric import any_counted, metric_states, metrics_of

if TYPE_CHECKING:
    from lifecycle.train.callbacks.base import Callback
    from lifecycle.train.data import DataModule

FORMAT_VERSION = "2.6.0"  # of PyTorch Lightning, whose layout this is
OWN = ("logbook", "metrics", "gradients", "data")  # what each process has of its own
log = logging.getLogger(__name__)
KEYS = ("epoch", "global_step", "pytorch-lightning_version", "state_dict")  # those of every checkpoint
M = TypeVar("M", bound=Module)


@dataclass(kw_only=True)
class Progress:
    """What a fit is besides its module: everything that the rest of it depends on.

    Attributes:
        state: Counters.
        results: What was logged.
        logbook: The half-summed metrics of the epoch.
        optimization: Optimizers and schedules.
        precision: Holds the scale of losses.
        seed: Seeds every batch.
        feed: Describes the training data, and holds the state of loaders that have one.
    """

    state: FitState
    results: Results
    logbook: Logbook
    optimization: Optimization
    precision: Precision
    seed: int = 0
    feed: Any = None

    def begin(self) -> None:
        """A fit begins: what an earlier one has left of its last epoch is forgotten, its counts are not."""
        self.state.begin()
        self.logbook.clear()


def snapshot(
    module: Module,
    progress: Progress,
    callbacks: Sequence[Callback],
    datamodule: DataModule | None = None,
    *,
    weights_only: bool = False,
    strategy: Strategy | None = None,
) -> dict[str, object]:
    """Everything that the rest of a fit depends on, or only what `load_from_checkpoint` needs.

    Nothing is copied: the tensors are those at work. All processes call it; whole is what the first one gets.
    """
    strategy = strategy or Strategy()
    state, divided = progress.state, _divided(strategy)
    content: dict[str, object] = {
        "epoch": state.epoch,
        "global_step": state.global_step,
        "pytorch-lightning_version": FORMAT_VERSION,
        "state_dict": strategy.state_dict(module, **divided),
        "loops": {"lifecycle": _loop_state(module, progress, strategy)},
        "callbacks": {},
        "optimizer_states": [],
        "lr_schedulers": [],
        **checkpointed(module.hparams),
    }
    if datamodule is not None:
        content |= checkpointed(datamodule.hparams, "datamodule_")
    if weights_only:
        return content
    content["callbacks"] = {c.state_key: found for c in callbacks if (found := c.state_dict())}
    content["optimizer_states"] = [
        strategy.optimizer_state(module, optimizer, **divided)
        for optimizer in progress.optimization.optimizers
    ]
    content["lr_schedulers"] = scheduler_states(progress.optimization.schedules)
    if scaling := progress.precision.state_dict():
        content[progress.precision.state_key] = scaling
    if datamodule is not None and (found := datamodule.state_dict()):
        content[type(datamodule).__qualname__] = found
    return content


def _loop_state(module: Module, progress: Progress, strategy: Strategy) -> dict[str, object]:
    own = _own_part(module, progress, strategy)
    state = {
        "state": progress.state.state_dict(),
        "seed": progress.seed,
        "results": progress.results.state_dict(),
        **own,
    }
    if strategy.world_size > 1:
        # What differs between processes; the first one's is where that of a single one is.
        in_parts = strategy.together is not None and own["gradients"]
        shared = own | {"gradients": None} if in_parts else own
        state["ranks"] = strategy.gathered(shared)[1:]
    return state


def _divided(strategy: Strategy) -> dict[str, Any]:
    """How to ask for a state: tensors that lie in several processes stay there if those save together."""
    return {} if strategy.together is None else {"divided": True}


def _own_part(module: Module, progress: Progress, strategy: Strategy) -> dict[str, object]:
    """What each process has of its own."""
    waiting = progress.state.pending or not module.automatic_optimization
    named = dict(metrics_of(module))
    return {
        "logbook": [] if progress.state.epoch_done else progress.logbook.state_dict(named),
        "metrics": {} if progress.state.epoch_done else metric_states(module),
        "gradients": strategy.gradients(module, **_divided(strategy)) if waiting else {},
        "data": None if progress.feed is None else progress.feed.state_dict(),
    }


def lies_in_several(module: Module | None, progress: Progress) -> bool:
    """Whether each process has gradients that wait for a step, or half-summed values of the epoch."""
    state = progress.state
    if module is None or state.pending:
        return bool(state.pending)
    logged = progress.logbook.state_dict(dict(metrics_of(module)))
    return not state.epoch_done and (bool(logged) or any_counted(module))


def own_state(content: Mapping[str, Any], *, automatic: bool = True) -> dict[str, Any]:
    """What this trainer needs to go on.

    Args:
        content: Of a checkpoint of this trainer or of Lightning's.
        automatic: Whether the trainer steps the optimizer.

    Raises:
        UsageError: the checkpoint does not say where the fit stood.
    """
    own = content.get("loops", {}).get("lifecycle") or lightnings_state(content, automatic=automatic)
    if own is None:
        raise UsageError(
            "the checkpoint does not say where a fit stood, so none can go on from it; "
            "its weights can be read with load_from_checkpoint"
        )
    return cast("dict[str, Any]", own)


def load_ckpt(path: Path, map_location: Any = "cpu", *, lazy: bool = False) -> dict[str, object]:
    """Read a checkpoint, a file or a folder of several processes; tensors and plain values only.

    Args:
        path: Where it is.
        map_location: As ``torch.load`` has it.
        lazy: Of a folder, read the weights; what is divided besides comes as `Stored`.

    Raises:
        UsageError: there is none.
        ArtifactError: a file is torn, or it is not a checkpoint.
    """
    if path.is_dir():
        from lifecycle.train.sharded.reading import Shards

        return _checked(Shards(path).content(map_location, lazy=lazy), path)
    if not path.is_file():
        beside = sorted(p.name for p in path.parent.glob("*.ckpt")) if path.parent.is_dir() else []
        raise UsageError(f"no checkpoint {path}; beside it: {', '.join(beside) or '(nothing)'}")
    try:
        content = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:
        raise unreadable(path, error) from error
    return _checked(content, path)


def _checked(content: Any, path: Path) -> dict[str, object]:
    missing = [key for key in KEYS if not isinstance(content, dict) or key not in content]
    if missing:
        raise ArtifactError(f"{path} is not a checkpoint of a trainer: it lacks {', '.join(missing)}")
    return cast("dict[str, object]", unpacked(content))
