"""What a run of a pipeline gives: each stage's artifact, what was measured, and where to read more."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.artifact import Artifact
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError, suggest
from lifecycle.core.secrets import mask
from lifecycle.pipeline.runner import Outcome
from lifecycle.pipeline.spec import Pipeline
from lifecycle.report.summary import MODEL_COLUMNS, STAGE_COLUMNS, before_after, outcome_json, stage_rows

if TYPE_CHECKING:
    from rich.console import RenderableType

_COLUMNS = 120


@dataclass(frozen=True, kw_only=True, repr=False)
class RunResult:
    """A run that has ended; displays itself in notebooks, and as tables in terminals.

    Attributes:
        pipeline: What was run, as it was read then.
        outcomes: What became of each stage, in order.
        report: The page that tells of the run, an HTML file.
        run_id: Of the run in MLflow; empty where MLflow did not know of it yet when the run ended.
        tracking_uri: Where MLflow keeps it, without a password.
        run_url: Its page, where the tracking store is a server; else empty.
    """

    pipeline: Pipeline
    outcomes: Sequence[Outcome]
    report: Path
    run_id: str = ""
    tracking_uri: str = ""
    run_url: str = ""

    @property
    def name(self) -> str:
        """Of the pipeline: the experiment and the registered model."""
        return self.pipeline.project.name

    def __getitem__(self, stage: str) -> Outcome:
        """What became of a stage.

        Raises:
            UsageError: it did not run.
        """
        found = {outcome.name: outcome for outcome in self.outcomes}
        if stage not in found:
            raise UsageError(f"the run has no stage '{stage}': {suggest(stage, found)}")
        return found[stage]

    @property
    def artifacts(self) -> Mapping[str, Artifact]:
        """What each stage made."""
        return {outcome.name: outcome.artifact for outcome in self.outcomes}

    @property
    def digests(self) -> Mapping[str, str]:
        """SHA-256 of what each stage made, 64 hexadecimal digits."""
        return {outcome.name: outcome.artifact.digest for outcome in self.outcomes}

    @property
    def metrics(self) -> Mapping[str, float]:
        """What was measured last: on the exported file if there is an evaluation, else on the checkpoint."""
        made = self.evaluation or self._last("checkpoint")
        return made.numbers() if made is not None else {}

    @property
    def evaluation(self) -> Artifact | None:
        """The ``evaluation`` artifact."""
        return self._last("evaluation")

    @property
    def bundle(self) -> Artifact | None:
        """The exported files."""
        return self._last("bundle")

    @property
    def version(self) -> int | None:
        """The number under which it was registered."""
        made = self._last("version")
        number = made.read_json("version.json")["number"] if made is not None else None
        return number if isinstance(number, int) else None

    def to_json(self) -> list[JSON]:
        """What ``lifecycle run --json`` prints."""
        return [outcome_json(outcome) for outcome in self.outcomes]

    def _last(self, kind: str) -> Artifact | None:
        found = [outcome.artifact for outcome in self.outcomes if outcome.artifact.kind == kind]
        return found[-1] if found else None

    def _repr_html_(self) -> str:
        from lifecycle.verbs.display import run_html

        return run_html(self)

    def __repr__(self) -> str:
        tables = [_table(f"Pipeline {self.name}", STAGE_COLUMNS, stage_rows(self.outcomes))]
        if self.evaluation is not None:
            tables.append(_table("Before and after", MODEL_COLUMNS, before_after(self.evaluation)))
        registered = "" if self.version is None else f"Registered {self.name} version {self.version}.\n"
        return f"{as_text(*tables)}{registered}Report: {self.report}"


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> RenderableType:
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=SIMPLE)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(mask(cell)) for cell in row))
    return table


def as_text(*tables: RenderableType) -> str:
    """Tables as plain text."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=_COLUMNS, no_color=True)
    for table in tables:
        console.print(table)
    written = console.file
    assert isinstance(written, io.StringIO)
    return "".join(f"{line.rstrip()}\n" for line in written.getvalue().splitlines())
