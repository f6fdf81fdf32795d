from __future__ import annotations

import copy
import re
import sys
from typing import Any

import pytest

from lifecycle.callbacks import TQDMProgressBar
from lifecycle.core.errors import UsageError
from tests.train.callbacks.terminal import Terminal, showing
from tests.train.callbacks.test_progress import Barred, Validated
from tests.train.small import loader


def found(frames: list[str], begins: str) -> list[str]:
    """What is counted in the lines of one bar, each once: ``3/6``."""
    counts = [
        match[1]
        for frame in frames
        if frame.startswith(begins) and (match := re.search(r" (\d+/[\d?]+) \[", frame))
    ]
    return list(dict.fromkeys(counts))


def test_a_fit_shows_each_epoch_and_below_it_each_validation(terminal: Terminal) -> None:
    with terminal:
        showing(max_epochs=2, callbacks=TQDMProgressBar(), num_sanity_val_steps=1).fit(
            Barred(), loader(), loader()
        )
    frames = terminal.frames()
    assert found(frames, "Sanity Checking: ") == ["0/1", "1/1"]
    for name in ("Epoch 0: ", "Epoch 1: ", "Validation: "):
        assert found(frames, name) == [f"{done}/6" for done in range(7)]
    assert frames[-1].startswith("Epoch 1: 100%") and frames[-1].endswith(", at=5.000, val_acc=0.9876]")


@pytest.mark.parametrize(("verb", "name"), [("validate", "Validation"), ("test", "Testing")])
def test_the_other_verbs_leave_a_full_bar(terminal: Terminal, verb: str, name: str) -> None:
    with terminal:
        getattr(showing(callbacks=TQDMProgressBar()), verb)(Barred(), loader(), verbose=False)
    [line] = terminal.screen()
    assert line.startswith(f"{name}: 100%") and " 6/6 " in line


def test_several_loaders_are_told_apart(terminal: Terminal) -> None:
    with terminal:
        showing(callbacks=TQDMProgressBar()).test(Barred(), [loader(), loader(batch_size=11)], verbose=False)
    frames = terminal.frames()
    assert found(frames, "Testing DataLoader 0: ") == [f"{done}/6" for done in range(7)]
    assert found(frames, "Testing DataLoader 1: ")[-1] == "2/2"


def test_a_loader_without_a_length_has_no_end(terminal: Terminal) -> None:
    with terminal:
        showing(callbacks=TQDMProgressBar()).fit(Barred(), (batch for batch in loader()))
    assert found(terminal.frames(), "Epoch 0")[-1] == "6/?"


@pytest.mark.parametrize(("leave", "left"), [(False, ["Epoch 1: "]), (True, ["Epoch 0: ", "Epoch 1: "])])
def test_of_a_fit_the_last_epoch_is_left_or_all(terminal: Terminal, leave: bool, left: list[str]) -> None:
    with terminal:
        showing(max_epochs=2, callbacks=TQDMProgressBar(leave=leave)).fit(Barred(), loader(), loader())
        print("next", file=sys.stderr)
    assert [line[:9] for line in terminal.screen()] == [*left, "next"]


def test_rates_count_what_was_seen_of_them(terminal: Terminal) -> None:
    bar = TQDMProgressBar()
    with terminal:
        bar.draw("train", "Epoch 0", 5, 6, {})
        bar.stop()
    assert "5/6 [00:00<?, ?it/s]" in terminal.frames()[-1]


def test_a_bar_can_be_made_otherwise(terminal: Terminal) -> None:
    class Own(TQDMProgressBar):
        def init_validation_tqdm(self) -> Any:
            bar: Any = super().init_validation_tqdm()
            bar.set_description("running validation")
            return bar

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            super().on_train_epoch_end(trainer, pl_module)
            assert self.train_progress_bar.n == 6

    with terminal:
        showing(callbacks=Own(), num_sanity_val_steps=0).fit(Barred(), loader(), loader())
    assert found(terminal.frames(), "running validation: ")[-1] == "6/6"


class Adorned(TQDMProgressBar):
    """Writes on its bars whenever it can."""

    seen: list[object]

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        super().on_train_start(trainer, pl_module)
        self.train_progress_bar.set_description_str("begun")
        self.seen = []

    def on_train_batch_end(self, *args: Any) -> None:
        super().on_train_batch_end(*args)
        self.train_progress_bar.set_postfix_str("adorned")
        self.seen.append((self.train_progress_bar.n, self.train_progress_bar.total))

    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        super().on_validation_epoch_start(trainer, pl_module)
        self.val_progress_bar.set_postfix_str("adorned")


@pytest.mark.parametrize("rate", [1, 0])
def test_a_bar_is_there_for_who_adorns_it_though_nobody_sees_it(
    rate: int, capfd: pytest.CaptureFixture[str]
) -> None:
    bar = Adorned(refresh_rate=rate)
    showing(callbacks=bar).fit(Validated(), loader(), loader())
    assert bar.seen == [(done, 6) for done in range(1, 7)]
    shown = capfd.readouterr().err
    assert ("6/6" in shown) == bool(rate)
    assert "adorned" not in shown


def test_a_bar_can_be_adorned_before_the_first_epoch(terminal: Terminal) -> None:
    with terminal:
        showing(callbacks=Adorned()).fit(Validated(), loader(), loader())
    assert found(terminal.frames(), "Epoch 0: ")[-1] == "6/6"
    assert "adorned" in terminal.text()


def test_what_the_program_prints_stands_above_it(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    class Printing(Barred):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.print("more", batch_idx, sep="-", flush=True)
            return super().training_step(batch, batch_idx)

    trainer = showing(callbacks=TQDMProgressBar(), limit_train_batches=2)
    with terminal:
        trainer.fit(Printing(), loader())
    trainer.print("after")
    assert capsys.readouterr().out == "more-0\nmore-1\nafter\n"
    assert "more" not in terminal.text()


def test_the_clock_is_looked_at_every_few_batches(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with terminal:
        showing(callbacks=TQDMProgressBar(refresh_rate=3)).fit(Barred(), loader())
    assert found(terminal.frames(), "Epoch 0") == ["0/6", "3/6", "6/6"]
    assert TQDMProgressBar(refresh_rate=3).refresh_rate == 3
    monkeypatch.setenv("TQDM_MINITERS", "20")
    assert TQDMProgressBar(refresh_rate=3).refresh_rate == 20


def test_nothing_is_shown_at_rate_0(terminal: Terminal) -> None:
    bar = TQDMProgressBar(refresh_rate=0)
    assert bar.is_disabled
    with terminal:
        showing(callbacks=bar).fit(Barred(), loader(), loader())
    assert terminal.text() == ""


def test_bars_leave_room_for_others(terminal: Terminal) -> None:
    bar = TQDMProgressBar(process_position=2)
    assert bar.process_position == 2
    with terminal:
        showing(callbacks=bar).fit(Barred(), loader())
    assert b"\n\n\n\n\r" in terminal.raw().replace(b"\r\n", b"\n")


def test_a_bar_that_is_not_there_is_asked_for_in_vain() -> None:
    with pytest.raises(TypeError, match="TQDMProgressBar shows no bar of 'train' at the moment"):
        _ = TQDMProgressBar().train_progress_bar


def test_it_can_be_copied_while_it_is_at_work(terminal: Terminal) -> None:
    class Copying(TQDMProgressBar):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            super().on_train_epoch_end(trainer, pl_module)
            self._trainer = None
            copy.deepcopy(self).stop()
            self._trainer = trainer
            assert self.train_progress_bar.n == 6

    with terminal:
        showing(callbacks=Copying()).fit(Barred(), loader())


def test_without_a_terminal_there_is_a_line_when_something_ends(capfd: pytest.CaptureFixture[str]) -> None:
    showing(max_epochs=3, callbacks=TQDMProgressBar()).fit(Validated(), loader(), loader())
    assert capfd.readouterr().err == "  epoch 3/3  val_acc 0.9876  18/18\n"


def test_a_negative_rate_is_refused() -> None:
    with pytest.raises(UsageError, match=r"TQDMProgressBar\(refresh_rate=-1\): expected batches"):
        TQDMProgressBar(refresh_rate=-1)


def test_without_tqdm_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(
        UsageError, match="TQDMProgressBar needs tqdm, which is not installed\npip install tqdm"
    ):
        TQDMProgressBar()
