"""Tables for people who look at a terminal."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence


def show_metrics(found: Sequence[Mapping[str, float]], kind: str) -> None:
    """Print what a validation or a test has measured: a row for each name, a column for each loader."""
    from rich.console import Console
    from rich.table import Table

    names = list(dict.fromkeys(name for metrics in found for name in metrics))
    if not names:
        return
    what = {"validation": "Validation metric", "test": "Test metric"}[kind]
    table = Table(what, *(f"Loader {index}" if len(found) > 1 else "Value" for index in range(len(found))))
    for name in names:
        table.add_row(name, *(f"{metrics[name]:.6g}" if name in metrics else "" for metrics in found))
    Console().print(table)


def notes_wanted(log: logging.Logger) -> bool:
    """Whether nobody has set this logger, or one of ours above it, over INFO; the root's does not count."""
    logger: logging.Logger | None = log
    while logger is not None and logger is not logging.root:
        if logger.level:
            return logger.level <= logging.INFO
        logger = logger.parent
    return True
