"""What train, prune and quantize share: a fit, its best epoch, and its measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lifecycle.core.budget import check_budget
from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.core.stage import Context
from lifecycle.core.verdict import require
from lifecycle.stages.apart import placed
from lifecycle.stages.callbacks import make_callbacks

if TYPE_CHECKING:
    from lifecycle.train.callbacks import Callback
    from lifecycle.train.data import DataModule
    from lifecycle.train.module import Module

SAVE_EVERY = timedelta(seconds=30)


def fit(
    module: Module,
    context: Context,
    options: Mapping[str, Any],
    *,
    title: str,
    folder: Path,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
) -> None:
    """Train a module and leave it in its best epoch's state: best by the budget's metric, else the last.

    Args:
        module: Trained in place.
        context: Data, seed, progress, tracker and budget.
        options: For the trainer.
        title: What the progress display calls it.
        folder: For checkpoints of the unfinished fit.
        callbacks: More of them.
        resume: Go on from the last step that a killed run left in `folder`.
    """
    from lifecycle.train.callbacks import ModelCheckpoint, ProgressBar
    from lifecycle.train.checkpoint import load_ckpt
    from lifecycle.train.trainer import Trainer

    keep = ModelCheckpoint(
        folder,
        filename="best",
        monitor=context.budget.metric,
        mode=context.budget.mode,
        save_last=True,
        enable_version_counter=False,
    )
    # Epochs may be long: a kill costs half a minute of steps. (The trainer itself saves when asked to stop.)
    steps = ModelCheckpoint(
        folder, filename="step", train_time_interval=SAVE_EVERY, enable_version_counter=False
    )
    # What is saved last knows what was ranked before it: the other way round, a kill between the two would
    # leave a fit that has ended and whose best epoch nobody kept.
    others = {name: value for name, value in options.items() if name != "callbacks"}
    named = make_callbacks(options.get("callbacks", ()))
    trainer = Trainer(
        **{"deterministic": True, **others, **_last_epoch_validated(options)},
        callbacks=[*callbacks, *named, ProgressBar(context.progress, f"{title}  "), keep, steps],
        logger=context.tracker,
        default_root_dir=folder,
        enable_model_summary=False,
    )
    trainer.strategy.start_here()
    trainer.fit(module, datamodule=data_of(context), ckpt_path="last" if resume else None)
    module.load_state_dict(load_ckpt(folder / "best.ckpt")["state_dict"])  # type: ignore[arg-type]


def _last_epoch_validated(options: Mapping[str, Any]) -> dict[str, Any]:
    """Fine-tuning inherits how often training validates, and may have fewer epochs than that."""
    every, epochs = options.get("check_val_every_n_epoch", 1), options.get("max_epochs") or 1000
    return {} if every is None or epochs < 1 else {"check_val_every_n_epoch": min(every, epochs)}


def set_learning_rate(module: Module, lr: float | None) -> None:
    """Give fine-tuning its own learning rate, where ``configure_optimizers`` will look for it.

    Args:
        module: Keeps it as ``lr`` or ``learning_rate``, an attribute or a hyperparameter (the names that
            Lightning's tuner sets).
        lr: None leaves it as in training.

    Raises:
        UsageError: the module has no such attribute.
    """
    if lr is None:
        return
    found = False
    for name in ("lr", "learning_rate"):
        if name in module.hparams:
            module.hparams[name], found = lr, True
        if isinstance(getattr(module, name, None), float):
            setattr(module, name, lr)
            found = True
    if not found:
        raise UsageError(
            f"lr is {lr}, but {type(module).__name__} has no learning rate to set: "
            "keep it as self.lr and use that in configure_optimizers"
        )


def measure(module: Module, context: Context) -> dict[str, float]:
    """What validation logs for the module.

    Raises:
        LifecycleError: a metric is not finite: training has diverged.
    """
    metrics = placed(lambda: _validated(module, context), context)
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise LifecycleError(
                f"validation gives {name} = {value}: training has diverged",
                hint="Try a lower learning rate, or train.trainer.gradient_clip_val=1.0.",
            )
    return metrics


def _validated(module: Module, context: Context) -> dict[str, float]:
    from lifecycle.train.trainer import Trainer

    trainer = Trainer(
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    )
    trainer.validate(module, datamodule=data_of(context), verbose=False)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def data_of(context: Context) -> DataModule:
    """The project's DataModule, anew, and the generators as they are for every stage.

    A split that is drawn in ``setup`` comes out alike in all of them: else validation would score what
    training has seen.
    """
    from lifecycle.train.seeding import seed_everything

    seed_everything(context.seed)
    return cast("DataModule", context.data())


def require_budget(context: Context, measured: Mapping[str, float], stage: str) -> None:
    """Raise `RefusedError` when a compressed model is outside the budget; its parent stays as it is."""
    if context.baseline is not None:
        rows = check_budget(context.budget, measured, context.baseline.numbers())
        require(
            rows,
            f"{stage}: the model is outside the budget",
            hint="Give it more epochs, or change `budget:`.",
        )
