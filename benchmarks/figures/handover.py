"""How a script hands its figures over."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from .figure import Figure, figure_of
from .words import cell


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every script has."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    parser.add_argument("--quick", action="store_true", help="see that it works; the figures mean nothing")
    return parser


def hand_over(path: Path | None, figures: Iterable[Figure]) -> None:
    """Write figures where they were asked for."""
    if path is not None:
        rows = [figure.as_json() for figure in figures]
        path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def take_over(path: Path) -> tuple[Figure, ...]:
    """The figures of such a file; none where the script found nothing to measure here."""
    return tuple(figure_of(one) for one in json.loads(path.read_text(encoding="utf-8")))


def print_figures(figures: Sequence[Figure]) -> None:
    """A table for people."""
    table = None
    for figure in figures:
        over = f", over {figure.over}" if figure.over else ""
        if figure.table != table:
            print(f"\n{figure.table}{over}")
            table = figure.table
        print(f"  {figure.row:44} {figure.of:22}{cell(figure)}")


def print_bars(figures: Sequence[Figure]) -> int:
    """Say of each figure with a bar whether it holds; how many do not."""
    held = [figure for figure in figures if figure.bar is not None]
    missed = [figure for figure in held if not figure.holds]
    print()
    for figure in held:
        assert figure.bar is not None
        end = "" if figure.bar.judged == "value" else f" at the {figure.bar.judged} end"
        judged = getattr(figure, figure.bar.judged)
        verdict = "holds " if figure.holds else "MISSED"
        allowed = f"{figure.bar.sign} {figure.bar.limit:g}{end}"
        print(f"{verdict} {figure.table}, {figure.row}: {judged:.4g} {figure.unit} ({allowed})")
    return len(missed)
