"""What of a trainer a pipeline file may set, and what of that can change a result."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import lifecycle
from lifecycle.core.canonical import JSON
from lifecycle.core.config import convert
from lifecycle.core.errors import UsageError, suggest
from lifecycle.core.reference import Reference
from lifecycle.stages.callbacks import Named, check_callbacks, counted_callbacks

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
    "devices": -1,
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
