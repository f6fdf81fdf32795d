"""The stage protocol: what turns artifacts into an artifact, and what it is given to do so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast

from lifecycle.core.artifact import Artifact
from lifecycle.core.asked import Asked
from lifecycle.core.budget import Budget
from lifecycle.core.canonical import JSON
from lifecycle.core.progress import NullProgress, Progress
from lifecycle.core.reference import Reference

# Whose version can change what a stage makes, where the stage does not say so itself.
LIBRARIES = (
    "torch",
    "torchmetrics",
    "torch-pruning",
    "torchao",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "numpy",
)


class Tracker(Protocol):
    """Where a stage's parameters, metrics and files are recorded."""

    def log_params(self, params: Mapping[str, JSON]) -> None:
        """Record options by name."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers by name, at a step of training where there is one."""

    def log_artifacts(self, folder: Path, to: str = "") -> None:
        """Record every file of a folder."""

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record short texts by name."""


class NullTracker:
    """Records nothing."""

    def log_params(self, params: Mapping[str, JSON]) -> None:
        """Record nothing."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record nothing."""

    def log_artifacts(self, folder: Path, to: str = "") -> None:
        """Record nothing."""

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record nothing."""


@dataclass(frozen=True, kw_only=True)
class Project:
    """What the user brought: a name, a module and its data, below one folder.

    Attributes:
        name: Of the experiment and the registered model.
        root: The folder of the pipeline file.
        model: Where the module's class is.
        data: Where the DataModule's class is.
        model_args: What the module is made with; ``${env:NAME}`` is still a reference.
        data_args: Likewise for the DataModule.
    """

    name: str
    root: Path
    model: Reference
    data: Reference
    model_args: Mapping[str, JSON] = field(default_factory=dict)
    data_args: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Context:
    """What every stage of a run shares.

    Attributes:
        project: The user's code and its arguments.
        data: Makes the project's DataModule; a new one at each call.
        baseline: The dense trained checkpoint that budgets compare with; None until it exists.
        steps: Every checkpoint of the run so far, by the stage that made it, in order.
        budget: The limits of compression.
        asked: The metrics that budget and gates name.
        seed: For every random choice.
        progress: Where to say how far the work is.
        tracker: Where to record parameters, metrics and files of this stage.
        several: Whether stages train in several processes, forked from this one, which so must use no GPU.
    """

    project: Project
    data: Callable[[], object]
    baseline: Artifact | None = None
    steps: Mapping[str, Artifact] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    asked: tuple[Asked, ...] = ()
    seed: int = 0
    progress: Progress = field(default_factory=NullProgress)
    tracker: Tracker = field(default_factory=NullTracker)
    several: bool = False


class Stage(Protocol):
    """Turns artifacts into one artifact. Implementations are frozen keyword-only dataclasses.

    The fields are the stage's options: configuration, cache key and help text come from them.

    Attributes:
        consumes: Kinds of artifacts that it is given.
        produces: The kind that it makes.
        libraries: Distributions whose version can change what it makes.
        reads_project: Whether the user's code, data, seed and budget can change what it makes, apart from
            what it is given.
        splits: Splits of the data that it cannot do without: ``train``, ``val`` or ``test``.
    """

    consumes: ClassVar[tuple[str, ...]]
    produces: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]] = LIBRARIES
    reads_project: ClassVar[bool] = True
    splits: ClassVar[tuple[str, ...]] = ()

    def run(self, given: Mapping[str, Artifact], into: Path, context: Context) -> Artifact:
        """Do the work.

        Args:
            given: The newest artifact of each kind in `consumes`.
            into: Where the artifact is to stand; written through `Draft`, so that it appears whole.
            context: What all stages share.
        """

    def holds(self, artifact: Artifact, context: Context) -> bool:
        """Whether what a finished artifact points to outside its own folder is still there."""
        return True

    def counted(self) -> Mapping[str, JSON]:
        """The options that can change the result: what of the stage is part of its key."""
        return cast("Mapping[str, JSON]", asdict(cast("Any", self)))


def scratch(into: Path) -> Path:
    """A folder for unfinished work on `into`: outlives a killed run, removed by the runner on success."""
    folder = into.with_name(f".{into.name}.work")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
