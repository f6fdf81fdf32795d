from __future__ import annotations

import copy
import re
import sys
from typing import Any

import pytest

from lifecycle.callbacks import RichProgressBar
from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks.rich_progress import RichProgressBarTheme
from tests.train.callbacks.terminal import Clock, Terminal, showing
from tests.train.callbacks.test_progress import Barred, Validated
from tests.train.small import loader


def found(frames: list[str], begins: str) -> list[str]:
    """What is counted in the lines of one bar: ``3/6``."""
    return [
        match[1]
        for frame in frames
        if frame.startswith(begins) and (match := re.search(r"(\d+/(?:\d+|--)) +\S+ • ", frame))
    ]


def test_a_fit_shows_each_epoch_and_below_it_each_validation(terminal: Terminal) -> None:
    bar = RichProgressBar()
    with terminal:
        showing(max_epochs=2, callbacks=bar, num_sanity_val_steps=1).fit(Barred(), loader(), loader())
    frames = terminal.frames()
    assert found(frames, "Sanity Checking") == ["0/1", "1/1"]
    for epoch in ("Epoch 0/1", "Epoch 1/1"):
        assert list(dict.fromkeys(found(frames, epoch))) == [f"{done}/6" for done in range(7)]
    assert found(frames, "Validation") == 2 * [f"{done}/6" for done in range(7)]
    assert frames[-1].startswith("Epoch 1/1") and frames[-1].endswith("at: 5.000 val_acc: 0.988")
    assert bar.progress is None


@pytest.mark.parametrize(("leave", "left"), [(False, ["Epoch 1/1"]), (True, ["Epoch 0/1", "Epoch 1/1"])])
def test_of_a_fit_the_last_epoch_is_left_or_all(terminal: Terminal, leave: bool, left: list[str]) -> None:
    with terminal:
        showing(max_epochs=2, callbacks=RichProgressBar(leave=leave)).fit(Barred(), loader(), loader())
        print("next", file=sys.stderr)
    assert [line[:9] for line in terminal.screen()] == [*left, "next"]


@pytest.mark.parametrize(("verb", "name"), [("validate", "Validation"), ("test", "Testing")])
def test_the_other_verbs_leave_a_full_bar(terminal: Terminal, verb: str, name: str) -> None:
    with terminal:
        getattr(showing(callbacks=RichProgressBar()), verb)(Barred(), loader(), verbose=False)
    [line] = terminal.screen()
    assert found([line], name) == ["6/6"]


def test_a_loader_without_a_length_has_no_end(terminal: Terminal) -> None:
    with terminal:
        showing(callbacks=RichProgressBar()).fit(Barred(), (batch for batch in loader()))
    assert found(terminal.frames(), "Epoch 0/0")[-1] == "6/--"


def test_style_and_columns_can_be_changed(terminal: Terminal) -> None:
    class Short(RichProgressBar):
        def configure_columns(self, trainer: Any) -> list[Any]:
            return super().configure_columns(trainer)[:1]

    theme = RichProgressBarTheme(metrics_format=".1f", metrics_text_delimiter="; ")
    with terminal:
        showing(callbacks=Short(theme=theme)).fit(Barred(), loader(), loader())
    assert terminal.frames()[-1] == "Epoch 0/0 at: 5.0; val_acc: 1.0"


def test_what_the_program_prints_is_not_mixed_with_it(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    class Printing(Barred):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            print("datum", batch_idx)
            self.print("more", batch_idx)
            return super().training_step(batch, batch_idx)

    with terminal:
        showing(callbacks=RichProgressBar(), limit_train_batches=2).fit(Printing(), loader())
    assert capsys.readouterr().out == "datum 0\nmore 0\ndatum 1\nmore 1\n"
    assert "datum" not in terminal.text()


def test_the_terminal_is_put_right_after_an_error(terminal: Terminal) -> None:
    class Broken(Barred):
        def validation_step(self, *_: Any) -> None:  # type: ignore[override]
            raise RuntimeError("broken")

    bar = RichProgressBar()
    with terminal, pytest.raises(RuntimeError, match="broken"):
        showing(callbacks=bar, num_sanity_val_steps=0).fit(Broken(), loader(), loader())
    assert bar.progress is None
    assert terminal.raw().rstrip().endswith(b"\x1b[?25h"), "the cursor is visible again"


def test_nothing_is_shown_at_rate_0(terminal: Terminal) -> None:
    with terminal:
        showing(callbacks=RichProgressBar(refresh_rate=0)).fit(Barred(), loader(), loader())
    assert terminal.text() == ""


@pytest.mark.parametrize(("rate", "seconds"), [(100, 0.1), (10, 0.1), (4, 0.25), (1, 1.0)])
def test_the_rate_is_in_times_a_second(rate: int, seconds: float) -> None:
    assert RichProgressBar(refresh_rate=rate).every_s == seconds


def test_a_negative_rate_is_refused() -> None:
    with pytest.raises(UsageError, match=r"RichProgressBar\(refresh_rate=-1\): expected times a second"):
        RichProgressBar(refresh_rate=-1)


def test_it_can_be_copied_while_it_is_at_work(terminal: Terminal) -> None:
    copies: list[RichProgressBar] = []

    class Copying(RichProgressBar):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            self._trainer = None
            copies.append(copy.deepcopy(self))
            self._trainer = trainer

    with terminal:
        showing(callbacks=Copying()).fit(Barred(), loader())
    assert copies[0].progress is None


def test_without_a_terminal_there_is_a_line_when_something_ends(capfd: pytest.CaptureFixture[str]) -> None:
    trainer = showing(max_epochs=3, callbacks=RichProgressBar())
    trainer.fit(Validated(), loader(), loader())
    assert capfd.readouterr().err == "  epoch 3/3  val_acc 0.9876  18/18\n"
    trainer.test(Validated(), loader(), verbose=False)
    assert capfd.readouterr().err == "  Testing  6/6\n"


def test_long_work_without_a_terminal_has_lines_in_between(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch, 0.5)
    showing(callbacks=RichProgressBar()).fit(Barred(), loader(batch_size=1), loader(batch_size=1))
    lines = capfd.readouterr().err.splitlines()
    assert 4 < len(lines) < 40  # of 22 training and 22 validation batches, and a sanity check
    assert any(re.fullmatch(r"  epoch 1/1  .*at \d+\.0*  .*\d+/22.*", line) for line in lines)
    assert any(re.fullmatch(r"  Validation  \d+/22.*", line) for line in lines)
    assert "val_acc 0.9876" in lines[-1] and "  22/22" in lines[-1]
