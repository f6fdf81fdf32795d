from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.train.callbacks.terminal import Clock, Terminal


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """A terminal, and a clock by which everything is drawn."""
    Clock(monkeypatch, 1.0)
    monkeypatch.setenv("TERM", "xterm")
    for name in (
        "COLUMNS",
        "FORCE_COLOR",
        "LINES",
        "NO_COLOR",
        "TQDM_MINITERS",
        "TTY_COMPATIBLE",
        "TTY_INTERACTIVE",
    ):
        monkeypatch.delenv(name, raising=False)
    made = Terminal()
    yield made
    made.close()


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Every look at the clock is a second later: everything is drawn."""
    return Clock(monkeypatch, 1.0)


@pytest.fixture
def standing(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """No time passes: nothing is drawn between a beginning and an end."""
    return Clock(monkeypatch, 0.0)
