"""Keeping PyTorch's exporters from printing: what went wrong is in the error that they raise."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout


@contextmanager
def quiet() -> Iterator[None]:
    """Silence PyTorch's loggers, its prints of graphs and all warnings.

    Notices of deprecation among them: a format that is deprecated says so once (`Format.notice`), not for
    every call. Warnings that a trace gives are looked at (`recorded_trace`).
    """
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "torch"]
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
