"""Pages whose tables are made from the results: what stands between markers is written anew, no more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from .figure import OURS, Figure
from .results import Result, Results
from .suite import packages_of
from .summary import SUMMARY
from .words import aim, cell

MARKERS = re.compile(
    r"(?P<begin><!-- figures(?::(?P<name>[\w-]+))?:begin -->\n)"
    r"(?P<body>.*?)"
    r"(?P<end>^[ ]*<!-- figures(?::[\w-]+)?:end -->)",
    re.DOTALL | re.MULTILINE,
)


def render_page(text: str, results: Results) -> str:
    """The page with every region made anew.

    ``<!-- figures:NAME:begin -->`` begins the tables of a benchmark, ``<!-- figures:begin -->`` the summary.

    Raises:
        ValueError: A region names a benchmark without results.
    """

    def region(match: re.Match[str]) -> str:
        name = match["name"]
        if name is not None and name not in results:
            raise ValueError(f"the page shows {name!r}; there are results of {', '.join(sorted(results))}")
        body = summary(results) if name is None else tables(name, results[name])
        return f"{match['begin']}\n{body}\n{match['end']}"

    return MARKERS.sub(region, text)


def outside(text: str) -> str:
    """The page without what is generated."""
    return MARKERS.sub("", text)


def tables(name: str, result: Result) -> str:
    """Everything that a benchmark found, and where."""
    titles = list(dict.fromkeys(figure.table for figure in result.figures))
    parts = [provenance(name, result)]
    for title in titles:
        parts.append(_table(title, [figure for figure in result.figures if figure.table == title]))
    return "\n".join(parts)


def provenance(name: str, result: Result) -> str:
    """The command, the machine, the versions and the date."""
    shown = [package for package in packages_of(name) if package in result.versions]
    packages = ", ".join(f"{package} {result.versions[package]}" for package in shown)
    how = f"`make bench ONLY={name}`: `{result.command}`, {_when(result)}"
    note = f" {result.note}" if result.note else ""
    return f"{how}; {result.machine}; {packages}.{note}\n"


def _when(result: Result) -> str:
    """The date, and whether the command as it stands found this."""
    took = "" if result.seconds is None else f", in {result.seconds:.0f} s"
    recorded = " by an earlier form of it" if result.state == "recorded" else ""
    return f"{result.date}{recorded}{took}"


def summary(results: Results) -> str:
    """What users ask for first, in one table, and where each was measured."""
    lines = ["| | `lifecycle` | beside it | aim | from |", "|---|---|---|---|---|"]
    seen = []
    for line in SUMMARY:
        if line.benchmark not in results:
            continue
        figures = [
            figure
            for figure in results[line.benchmark].figures
            if (figure.table, figure.row) == (line.table, line.row)
        ]
        ours = [figure for figure in figures if figure.of == line.of]
        peers = "<br>".join(f"{figure.of}: {cell(figure)}" for figure in figures if figure.of != line.of)
        if not ours:
            raise ValueError(f"{line.benchmark} has no figure {line.table!r}, {line.row!r}")
        held = next((aim(figure) for figure in ours if figure.bar), "")
        lines.append(
            f"| {line.text} | {cell(ours[0])} | {peers or '–'} | {held or '–'} | `{line.benchmark}` |"
        )
        seen.append(line.benchmark)
    where: dict[str, list[str]] = {}
    for name in dict.fromkeys(seen):
        result = results[name]
        load = "" if result.machine.load is None else f", load {result.machine.load:.1f}"
        where.setdefault(str(replace(result.machine, load=None)), []).append(
            f"`{name}` {_when(result)}{load}"
        )
    lines += ["", "`make bench ONLY=NAME` measures one of them anew. These are from:", ""]
    lines += [f"- {machine}: {'; '.join(found)}" for machine, found in where.items()]
    return "\n".join(lines) + "\n"


def _table(title: str, figures: Sequence[Figure]) -> str:
    """One row for each thing measured, a column for each that was measured."""
    who = list(dict.fromkeys(figure.of for figure in figures))
    held = any(figure.bar for figure in figures)
    over = list(dict.fromkeys(figure.over for figure in figures if figure.over))
    head = f"{title}, over {over[0]}" if len(over) == 1 else title
    lines = [
        f"| {' | '.join([head, *(f'`{name}`' if name == OURS else name for name in who)])} |"
        + (" aim |" if held else ""),
        "|---" * (1 + len(who) + held) + "|",
    ]
    for row in dict.fromkeys(figure.row for figure in figures):
        here = {figure.of: figure for figure in figures if figure.row == row}
        cells = [cell(here[name]) if name in here else "" for name in who]
        aims = [aim(figure) for figure in here.values() if figure.bar]
        lines.append(f"| {' | '.join([row, *cells])} |" + (f" {'; '.join(aims)} |" if held else ""))
    return "\n".join(lines) + "\n"
