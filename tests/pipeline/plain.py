"""Stages that write a few bytes, a project of plain classes, and what they are run with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from lifecycle.core.artifact import Artifact, Draft
from lifecycle.core.budget import Budget
from lifecycle.core.reference import Reference
from lifecycle.core.stage import Context, NullTracker, Project, Stage, scratch
from lifecycle.pipeline.journal import Journal
from lifecycle.pipeline.keys import setting_of
from lifecycle.pipeline.plan import Planned, plan_stages
from lifecycle.pipeline.runner import Outcome, run_stages

RAN: list[str] = []  # what ran, in order; emptied by the fixture of the tests that look at it


@dataclass(frozen=True, kw_only=True)
class Writing(Stage):
    """Writes its text, and what it was given."""

    consumes: ClassVar[tuple[str, ...]] = ()
    produces: ClassVar[str] = "checkpoint"

    text: str = ""
    trainer: Mapping[str, object] = field(default_factory=dict)

    def run(self, given: Mapping[str, Artifact], into: Path, context: Context) -> Artifact:
        RAN.append(self.text)
        (scratch(into) / "half").write_text("unfinished work")
        if self.text == "fails":
            raise RuntimeError("the stage failed")
        baseline = context.baseline.digest if context.baseline else "none"
        with Draft(into) as draft:
            made_of = {kind: artifact.digest for kind, artifact in given.items()}
            (draft.path / "text").write_text(f"{self.text} {made_of} {baseline} {context.seed}")
            parent = next(iter(given.values()), None)
            facts: dict[str, Any] = {"metrics": {"acc": 0.5, "note": "no number"}, "headline": ["acc"]}
            return draft.seal(self.produces, parent=parent, facts=facts)


@dataclass(frozen=True, kw_only=True)
class Train(Writing):
    """From nothing a checkpoint."""


@dataclass(frozen=True, kw_only=True)
class Prune(Writing):
    """From a checkpoint a checkpoint."""

    consumes: ClassVar[tuple[str, ...]] = ("checkpoint",)


@dataclass(frozen=True, kw_only=True)
class Export(Writing):
    """From a checkpoint a bundle."""

    consumes: ClassVar[tuple[str, ...]] = ("checkpoint",)
    produces: ClassVar[str] = "bundle"


@dataclass(frozen=True, kw_only=True)
class Register(Writing):
    """Points to a file outside, which may be gone."""

    consumes: ClassVar[tuple[str, ...]] = ("bundle",)
    produces: ClassVar[str] = "version"

    outside: str = ""

    def holds(self, artifact: Artifact, context: Context) -> bool:
        return Path(self.outside).exists()


class Log:
    """Keeps how each stage ended and what was recorded of it."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, str]] = []
        self.params: dict[str, Mapping[str, object]] = {}
        self.metrics: dict[str, Mapping[str, float]] = {}
        self.tags: dict[str, Mapping[str, str]] = {}
        self.files: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[Recording]:
        try:
            yield Recording(self, name)
        except BaseException as error:
            self.ended.append((name, type(error).__name__))
            raise
        self.ended.append((name, "ended"))


class Recording(NullTracker):
    """One stage's part of a log."""

    def __init__(self, log: Log, name: str) -> None:
        self.log = log
        self.name = name

    def log_params(self, params: Mapping[str, Any]) -> None:
        self.log.params[self.name] = params

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.log.metrics[self.name] = metrics

    def log_artifacts(self, folder: Path, to: str = "") -> None:
        self.log.files.append(self.name)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        self.log.tags[self.name] = tags


class Notes:
    """A progress display that keeps its notes."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def update(self, text: str, done: int, total: int) -> None:
        raise NotImplementedError

    def note(self, text: str) -> None:
        self.lines.append(text)

    def close(self) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Everything that `run` needs; `changed` makes another one of it."""

    root: Path
    stages: Mapping[str, Writing]
    data: str | None = "data-1"
    seed: int = 7
    budget: Budget = field(default_factory=Budget)
    name: str = "digits"
    model_args: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        return self.root / ".lifecycle" / "cache"

    def changed(self, stage: str = "", **options: Any) -> Pipeline:
        """With other options of a stage, or without a stage's name other fields of its own."""
        if not stage:
            return replace(self, **options)
        return replace(self, stages={**self.stages, stage: replace(self.stages[stage], **options)})

    @property
    def journal(self) -> Journal:
        return Journal(self.root / ".lifecycle" / "journal.jsonl")

    @property
    def project(self) -> Project:
        return Project(
            name=self.name,
            root=self.root,
            model=Reference("model.py:Net"),
            data=Reference("data.py:Data"),
            model_args=self.model_args,
        )

    def run(self, log: Log | None = None, notes: Notes | None = None) -> list[Outcome]:
        context = Context(
            project=self.project,
            data=object,
            budget=self.budget,
            seed=self.seed,
            progress=notes or Notes(),
        )
        return run_stages(
            self.stages,
            context,
            cache=self.cache,
            log=log or Log(),
            journal=self.journal,
            data_fingerprint=lambda: self.data,
        )

    def plan(self) -> dict[str, Planned]:
        """What a run would do with each stage."""
        setting = setting_of(self.project, self.budget, self.seed, self.data)
        planned = plan_stages(self.stages, setting, cache=self.cache, journal=self.journal)
        return {each.stage: each for each in planned}

    def ran(self) -> list[str]:
        """Run it; the stages that were not there already."""
        return [outcome.name for outcome in self.run() if not outcome.cached]


def plain_project(root: Path) -> Pipeline:
    """Four stages, and a project whose model imports another file."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "model.py").write_text("import layers\nclass Net:\n    def __init__(self, width=1): pass\n")
    (root / "layers.py").write_text("value = 1\n")
    (root / "data.py").write_text("class Data: pass\n")
    (root / "unrelated.py").write_text("value = 1\n")
    (root / "outside").write_text("")
    stages = {
        "train": Train(text="trained"),
        "prune": Prune(text="pruned"),
        "export": Export(text="exported"),
        "register": Register(text="registered", outside=str(root / "outside")),
    }
    return Pipeline(root=root, stages=stages)
