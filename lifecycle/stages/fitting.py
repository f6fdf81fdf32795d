"""What train, prune and quantize share: a trainer made from options, the best epoch, and its measurements."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import lifecycle
from lifecycle.core.budget import check_budget
from lifecycle.core.canonical import JSON
from lifecycle.core.config import convert
from lifecycle.core.errors import LifecycleError, UsageError, suggest
from lifecycle.core.reference import Reference
from lifecycle.core.stage import Context
from lifecycle.core.verdict import require
from lifecycle.stages.callbacks import Named, check_callbacks, counted_callbacks, make_callbacks

if TYPE_CHECKING:
    from lifecycle.train.callbacks import Callback
    from lifecycle.train.data import DataModule
    from lifecycle.train.module import Module

TRAINER = Reference("lifecycle.train.trainer_options:TrainerOptions")
# Decided by the stage, objects that a file cannot hold, and modes in which nothing comes out.
OWNED = (
    "barebones",
    "default_root_dir",
    "enable_autolog_hparams",
    "enable_checkpointing",
    "enable_model_summary",
    "enable_progress_bar",
    "fast_dev_run",
    "logger",
    "model_registry",
    "plugins",
)
# The least value of what counts something, where it is not 1.
LEAST = {
    "log_every_n_steps": 0,
    "max_steps": -1,
    "min_epochs": 0,
    "min_steps": 0,
    "num_sanity_val_steps": -1,
    "reload_dataloaders_every_n_epochs": 0,
}

# Of ours, what is off unless it is set: off and not set are one.
OFF = ("channels_last", "compile", "fused")
# What shows or checks, and changes no result.
SILENT = ("detect_anomaly", "log_every_n_steps", "profiler")
SAVE_EVERY = timedelta(seconds=30)
CALLBACKS = list[str | dict[str, dict[str, Any] | None]]
PRECISIONS = {"None": "32-true", "32": "32-true", "64": "64-true", "16": "16-mixed", "bf16": "bf16-mixed"}


@cache  # three stages ask
def trainer_options() -> Mapping[str, object]:
    """Arguments of `Trainer` that a pipeline file may set, with their types; read from its source as text."""
    found = TRAINER.parameters(Path(lifecycle.__file__).parent.parent) or {}
    return {
        name: CALLBACKS if name == "callbacks" else _type_of(name, each.annotation)
        for name, each in found.items()
        if name not in OWNED
    }


def _type_of(name: str, annotation: str) -> object:
    """The type of an argument, checked by pydantic, from what its annotation says."""
    from pydantic import Field, NonNegativeFloat, NonNegativeInt

    whole = Annotated[int, Field(ge=LEAST.get(name, 1))]
    limit = NonNegativeInt | Annotated[float, Field(ge=0, le=1)]
    if name == "strategy":
        return str | _mapping({"name": {"type": "string"}}, required=["name"], more=True)
    kinds: dict[str, object] = {
        "int": whole,
        "bool": bool,
        "float": NonNegativeFloat,
        "str": str,
        "object": str,  # a name stands for the object
        "list[int]": list[int],
        "Limit": limit,
        "Duration": str | dict[str, int],
        "Profiler": str,
        "Compiling": _compiling(),
        "None": None,
    }
    parts = [part.strip() for part in re.split(r"\|(?![^\[]*\])", annotation)]
    return reduce(or_, (_literal(part) if "Literal" in part else kinds[part] for part in parts))


def _literal(text: str) -> object:
    return Literal[ast.literal_eval(text.removeprefix("Literal").replace("[", "(").replace("]", ",)"))]


@cache
def _compiling() -> object:
    from lifecycle.pipeline.schema import options_schema
    from lifecycle.train.compile_options import CompileOptions

    return _mapping(options_schema(CompileOptions, {})["properties"])


def _mapping(properties: JSON, *, required: Sequence[str] = (), more: bool = False) -> object:
    """A mapping of options, which `check_trainer` looks at by itself, and its schema."""
    from pydantic import WithJsonSchema

    schema = {"type": "object", "properties": properties, "additionalProperties": more}
    return Annotated[dict[str, Any], WithJsonSchema(schema | ({"required": required} if required else {}))]


def check_trainer(options: Mapping[str, object]) -> dict[str, Any]:
    """Trainer options of a stage, checked.

    Raises:
        UsageError: an option that there is not, or a value of another type.
    """
    allowed = trainer_options()
    for name in options:
        if name not in allowed:
            raise UsageError(f"unknown trainer option '{name}': {suggest(name, allowed)}")
    if isinstance(options.get("compile"), Mapping):
        from lifecycle.train.compile_options import compile_options

        compile_options(options["compile"])
    if isinstance(strategy := options.get("strategy"), Mapping):
        from lifecycle.train.strategies.choice import strategy_with  # with torch, which knows the options

        strategy_with(strategy)
    if "callbacks" in options:
        check_callbacks(options["callbacks"])
    return {
        name: convert(allowed[name], cast("JSON", value), f"trainer.{name}")
        for name, value in options.items()
    }


def check_fine_tuning(options: Mapping[str, object], epochs: int) -> dict[str, Any]:
    """Trainer options of a stage that says in ``epochs`` how long it trains.

    Raises:
        UsageError: an option or the number of epochs is wrong.
    """
    if "max_epochs" in options:
        raise UsageError("trainer.max_epochs is not for this stage: set its own 'epochs'")
    return check_trainer({**options, "max_epochs": epochs})


def counted_trainer(options: Mapping[str, object]) -> dict[str, JSON]:
    """What of a trainer's options can change a result, precision and determinism said outright."""
    counted = {
        name: value
        for name, value in options.items()
        if name not in SILENT and not (name in OFF and value is False)
    }
    if "callbacks" in counted:
        counted["callbacks"] = counted_callbacks(cast("Sequence[Named]", counted["callbacks"]))
        if not counted["callbacks"]:
            del counted["callbacks"]
    precision = counted.get("precision")
    return cast(
        "dict[str, JSON]",
        {
            "deterministic": True,
            **counted,
            "precision": PRECISIONS.get(str(precision), precision),
        },
    )


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
    from lifecycle.train.trainer import Trainer

    trainer = Trainer(
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    )
    trainer.validate(module, datamodule=data_of(context), verbose=False)
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise LifecycleError(
                f"validation gives {name} = {value}: training has diverged",
                hint="Try a lower learning rate, or train.trainer.gradient_clip_val=1.0.",
            )
    return metrics


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
