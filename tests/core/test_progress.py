from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lifecycle.core.progress import BarProgress, LineProgress, NullProgress, terminal_progress


def test_lines_go_to_standard_error_when_work_ends(capsys: pytest.CaptureFixture[str]) -> None:
    progress = LineProgress()
    for done in range(1, 1001):
        progress.update("epoch 1/1", done, 1000)
    progress.note("train: done")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "  epoch 1/1  1000/1000\ntrain: done\n"


def test_a_bar_shows_text_count_and_notes_on_a_terminal() -> None:
    script = (
        "from lifecycle.core.progress import terminal_progress\n"
        "progress = terminal_progress()\n"
        "progress.note('before')\n"
        "progress.update('epoch 1/2 [acc] 0.9', 3, 10)\n"
        "progress.note('[train]: a note stays')\n"
        "progress.update('epoch 2/2', 10, 10)\n"
        "progress.update('the next work', 1, 4)\n"
        "progress.close()\n"
        "progress.close()\n"
    )
    terminal, end = os.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=end, env=environment)
    os.close(end)
    shown = os.read(terminal, 65_536).decode()
    os.close(terminal)
    assert (done.returncode, done.stdout) == (0, b"")
    for text in ("before\r\n", "[train]: a note stays\r\n", "epoch 2/2", "10/10", "the next work"):
        assert text in shown


def test_where_nothing_is_wanted_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    progress = NullProgress()
    progress.update("x", 1, 1)
    progress.note("x")
    progress.close()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("terminal", "kind"), [(True, BarProgress), (False, LineProgress)])
def test_the_bar_is_for_terminals(
    terminal: bool, kind: type[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    assert isinstance(terminal_progress(), kind)
