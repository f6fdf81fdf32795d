"""The pipeline file: which module and data, which stages with which options, and what must hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from lifecycle.core import plugins
from lifecycle.core.budget import Budget
from lifecycle.core.canonical import JSON
from lifecycle.core.config import Config, build, convert, lookup, read_config
from lifecycle.core.errors import UsageError, suggest
from lifecycle.core.secrets import references
from lifecycle.core.stage import Project, Stage
from lifecycle.core.threshold import Threshold
from lifecycle.pipeline.classes import check_arguments, check_splits, reference_of
from lifecycle.pipeline.plugin import load_stage

ORDER = ("train", "prune", "quantize", "export", "evaluate", "register")
HEAD = ("name", "model", "model_args", "data", "data_args", "seed", "budget", "gates", "stages")


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A pipeline file, checked: every name resolved, every option of the right type.

    Attributes:
        project: The user's code and its arguments.
        stages: By name, in order.
        seed: For every random choice.
        budget: The limits of compression.
        places: Where options were set, by dotted name: for what turns out to be wrong with them later.
    """

    project: Project
    stages: Mapping[str, Stage]
    seed: int = 0
    budget: Budget = field(default_factory=Budget)
    places: Mapping[str, str] = field(default_factory=dict, compare=False)


def read_pipeline(path: Path, environment: Mapping[str, str], overrides: Iterable[str] = ()) -> Pipeline:
    """Read and check a pipeline file; runs nothing of the user's.

    Raises:
        UsageError: says where, what was got, what is allowed.
    """
    return pipeline_of(read_layers(path, environment, overrides), path)


def read_layers(path: Path, environment: Mapping[str, str], overrides: Iterable[str] = ()) -> Config:
    """Read a pipeline file and what is laid over it; only the names at the top are checked.

    Raises:
        UsageError: it is missing or not YAML, or a key at the top is unknown.
    """
    known = (*HEAD, *plugins.table("stages"))
    config = read_config(path, known=known, environment=environment, overrides=overrides)
    for key in config.tree:
        if key not in known:
            raise UsageError(f"{config.place((key,))}: unknown key '{key}': {suggest(key, known)}")
    return config


def pipeline_of(config: Config, path: Path) -> Pipeline:
    """Check all layers, and make a pipeline of them.

    Args:
        config: As `read_layers` gives it.
        path: The file; what it names is looked for beside it.

    Raises:
        UsageError: says where, what was got, what is allowed.
    """
    _check_references(config)
    names = _stage_names(config)
    gates = {name: build(Threshold, config, ("gates", name)).to_json() for name in _mapping(config, "gates")}
    pipeline = Pipeline(
        project=_project(path.parent.resolve(), config),
        stages={name: _stage(config, name, gates) for name in names},
        seed=_seed(config),
        budget=build(Budget, config, ("budget",)),
        places={".".join(key): where for key, where in config.origins.items()},
    )
    if not names:
        raise UsageError(f"{path.name} names no stage; allowed: {', '.join(ORDER)}")
    check_splits(config, pipeline.project, pipeline.stages)
    return pipeline


def _check_references(config: Config) -> None:
    """A reference is resolved where modules and data are made, and nowhere else."""
    for key, value in config.tree.items():
        if key not in ("model_args", "data_args") and next(references(value), None) is not None:
            name = next(references(value))
            holding = [each for each in config.origins if name in references(lookup(config, each))]
            where = max((each for each in holding if each[0] == key), key=len)
            raise UsageError(
                f"{config.origin(where)}: '{'.'.join(where)}' refers to ${{env:{name}}}: "
                "that is for model_args and data_args",
                hint="Any other option is set from the environment by a variable of its own name: "
                "LIFECYCLE_" + "__".join(where).upper(),
            )


def _project(root: Path, config: Config) -> Project:
    name = _value(config, "name", str, "")
    if not name or not name.replace("-", "").replace("_", "").isalnum():
        raise UsageError(
            f"{config.origin(('name',))}: 'name' is {name!r}; expected letters, digits, '-' and '_': "
            "it names the experiment and the registered model"
        )
    project = Project(
        name=name,
        root=root,
        model=reference_of(config, "model", _value(config, "model", str, "")),
        data=reference_of(config, "data", _value(config, "data", str, "")),
        model_args=_mapping(config, "model_args"),
        data_args=_mapping(config, "data_args"),
    )
    check_arguments(config, project)
    return project


def _stage_names(config: Config) -> list[str]:
    """The stages to run in order: those named, and evaluate after every export."""
    known = plugins.table("stages")
    listed = lookup(config, ("stages",))
    if listed is not None:
        names = cast("list[str]", convert(list[str], listed, f"{config.origin(('stages',))}: 'stages'"))
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"{config.origin(('stages',))}: 'stages' names '{name}' twice")
            if name not in known:
                raise UsageError(f"{config.origin(('stages',))}: no stage '{name}': {suggest(name, known)}")
        if {"prune", "quantize"} <= {*names} and names.index("quantize") < names.index("prune"):
            raise UsageError(
                f"{config.origin(('stages',))}: 'stages' quantizes before it prunes: what is prepared for "
                "quantization cannot be pruned; the order is prune, quantize"
            )
        return names
    names = [
        name for name in ORDER if name in config.tree or (name == "evaluate" and "export" in config.tree)
    ]
    for name in known:
        if name in config.tree and name not in ORDER:
            raise UsageError(
                f"{config.place((name,))}: stage '{name}' has no place among the others yet",
                hint=f"Say where it runs: stages: [{', '.join([*names, name])}], in this or another order.",
            )
    return names


def _stage(config: Config, name: str, gates: Mapping[str, JSON]) -> Stage:
    cls = cast("type[Any]", load_stage(name))
    if "trainer" in cls.__dataclass_fields__ and name != "train":
        for option, value in _mapping(config, "train", "trainer").items():
            # Fine-tuning inherits what training set, where the stage says nothing else; epochs are its own.
            if option != "max_epochs" and lookup(config, (name, "trainer", option)) is None:
                config.set((name, "trainer", option), value, config.origin(("train", "trainer", option)))
    # Registration keeps the thresholds of promotion on the version.
    more = {"gates": gates} if "gates" in cls.__dataclass_fields__ else None
    return cast("Stage", build(cls, config, (name,), more=more))


def _seed(config: Config) -> int:
    seed = int(_value(config, "seed", int, 0))
    if not 0 <= seed < 2**63:
        raise UsageError(
            f"{config.origin(('seed',))}: 'seed' is {seed}; expected a whole number from 0 to 2**63 - 1"
        )
    return seed


def _mapping(config: Config, *key: str) -> dict[str, JSON]:
    value = lookup(config, key)
    name = ".".join(key)
    return cast(
        "dict[str, JSON]",
        convert(dict[str, Any], {} if value is None else value, f"{config.origin(key)}: '{name}'"),
    )


def _value(config: Config, key: str, type_: type[Any], default: Any) -> Any:
    value = lookup(config, (key,))
    if value is None and default == "":
        raise UsageError(f"the pipeline file lacks '{key}'; it needs at least: name, model, data")
    return default if value is None else convert(type_, value, f"{config.origin((key,))}: '{key}'")
