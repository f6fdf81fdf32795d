"""The file of results: what each benchmark found, when and where."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from .figure import Figure, figure_of
from .machine import Machine

FORM = 1


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one benchmark found.

    Attributes:
        command: What was run.
        state: ``measured`` by this command as it stands, or ``recorded`` from an earlier one of which no more
            than this is known.
        date: Of the measurement, ``YYYY-MM-DD``.
        seconds: That it took.
        machine: Where.
        versions: Of the packages that matter.
        note: What else is to be known.
        figures: In the order of the tables.
    """

    command: str
    state: Literal["measured", "recorded"] = "measured"
    date: str
    seconds: float | None = None
    machine: Machine
    versions: Mapping[str, str]
    note: str = ""
    figures: tuple[Figure, ...]

    def __post_init__(self) -> None:
        keys = [figure.key for figure in self.figures]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"{self.command}: two figures of one name: {twice[0]}")

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            **asdict(self),
            "versions": dict(self.versions),
            "figures": [figure.as_json() for figure in self.figures],
        }


Results = dict[str, Result]


def result_of(found: Mapping[str, Any]) -> Result:
    """The result that was written as plain data."""
    figures = tuple(figure_of(one) for one in found["figures"])
    return Result(**{**found, "machine": Machine(**found["machine"]), "figures": figures})


def parse_results(text: str) -> Results:
    """Results by the names of benchmarks.

    Raises:
        ValueError: It is a file of another form.
    """
    found = json.loads(text)
    if found.get("form") != FORM:
        raise ValueError(f"this is a file of form {found.get('form')!r}, and form {FORM} is understood")
    return {name: result_of(one) for name, one in found["benchmarks"].items()}


def render_results(results: Results) -> str:
    """Canonical text: the same results are the same bytes."""
    content = {"form": FORM, "benchmarks": {name: result.as_json() for name, result in results.items()}}
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write_aside(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
