"""Signals that reach a fit: real ones, in processes of their own where they end it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from torchmetrics import MeanSquaredError

import lifecycle as pl
from lifecycle.callbacks import ModelCheckpoint
from lifecycle.train.checkpoint import load_ckpt
from lifecycle.tuner import Tuner
from tests.train.callbacks.disturbed import differences
from tests.train.small import Plain, Recorder, Regression, loader, quiet, same, seeded

ROOT = Path(__file__).parents[2]
SCRIPT = """
import signal, sys
from pathlib import Path
from tests.train.test_interrupts import Signals, fit
fit(Path(sys.argv[1]), Signals(sys.argv[2], getattr(signal, sys.argv[3])))
"""


class Signals(pl.Callback):
    """Sends this process a signal in batch 1 of epoch 1, while it trains or validates, or before the fit."""

    def __init__(self, while_: str, number: int, *, times: int = 1) -> None:
        self.while_ = while_
        self.number = number
        self.times = times

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.Module, batch: Any, batch_idx: int
    ) -> None:
        if (self.while_, trainer.current_epoch, batch_idx) == ("training", 1, 1):
            self.send()

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.Module, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        while_ = "checking" if trainer.sanity_checking else "validating"
        epoch = 0 if trainer.sanity_checking else 1
        if (self.while_, trainer.current_epoch, batch_idx) == (while_, epoch, 1):
            self.send()

    def send(self) -> None:
        for _ in range(self.times):
            os.kill(os.getpid(), self.number)


def fit(folder: Path, *callbacks: pl.Callback, ckpt_path: str | None = None, **options: Any) -> pl.Trainer:
    keep = ModelCheckpoint(folder, monitor="val_loss")
    trainer = quiet(**{"max_epochs": 3, "callbacks": [*callbacks, keep], **options})
    trainer.fit(seeded(Regression), loader(shuffle=True), loader(), ckpt_path=ckpt_path)
    return trainer


def in_process(folder: Path, while_: str, name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), while_, name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("while_", "at", "name", "status"),
    [
        ("training", {"epoch": 1, "batch": 2}, "SIGTERM", 143),
        ("validating", {"epoch": 1, "batch": 6}, "SIGTERM", 143),
        ("training", {"epoch": 1, "batch": 2}, "SIGINT", -signal.SIGINT),
    ],
)
def test_a_signal_ends_a_fit_with_a_checkpoint_that_loses_nothing(
    tmp_path: Path, while_: str, at: dict[str, int], name: str, status: int
) -> None:
    folder = tmp_path / "parts"
    done = in_process(folder, while_, name)
    assert done.returncode == status, done.stderr[-2000:]
    assert ("KeyboardInterrupt" in done.stderr) == (name == "SIGINT")
    assert sorted(path.name for path in folder.iterdir()) == ["epoch=0-step=6.ckpt", "interrupted.ckpt"]
    loops: Any = load_ckpt(folder / "interrupted.ckpt")["loops"]
    state = loops["lifecycle"]["state"]
    assert {key: state[key] for key in at} == at
    resumed = fit(folder, ckpt_path="last")
    assert resumed.ckpt_path == str(folder / "interrupted.ckpt")
    whole = fit(tmp_path / "whole")
    assert [line for line in differences(whole, resumed) if str(tmp_path) not in line] == []


def test_before_the_first_step_there_is_nothing_to_save(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        fit(tmp_path, Signals("checking", signal.SIGTERM))
    assert caught.value.code == 143
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("while_", "steps"), [("training", 8), ("validating", 12)])
def test_the_batch_at_work_is_finished_and_everybody_told(tmp_path: Path, while_: str, steps: int) -> None:
    told: list[object] = []

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
            told.append(trainer.global_step)

        def on_exception(self, trainer: pl.Trainer, pl_module: pl.Module, exception: BaseException) -> None:
            told.append(type(exception))

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, Signals(while_, signal.SIGINT), Watch())
    assert told == [*range(1, steps + 1), KeyboardInterrupt]
    assert load_ckpt(tmp_path / "interrupted.ckpt")["global_step"] == steps


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_afterwards_signals_mean_what_they_meant_before(ends: str) -> None:
    class Breaks(Plain):
        def on_train_batch_end(self, *_: object) -> None:
            if ends == "badly":
                raise InterruptedError

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        quiet().fit(Breaks(), loader())
    except InterruptedError:
        assert ends == "badly"
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_handler_of_the_program_decides_what_follows_the_checkpoint(tmp_path: Path) -> None:
    found: list[bool] = []

    def handler(number: int, frame: object) -> None:
        found.append((tmp_path / "interrupted.ckpt").is_file())
        raise ChildProcessError(number)

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(ChildProcessError, match=f"^{int(signal.SIGTERM)}$"):
            fit(tmp_path, Signals("training", signal.SIGTERM))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert found == [True]


def test_who_asks_twice_is_not_kept_waiting(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, Signals("training", signal.SIGINT, times=2))
    assert not (tmp_path / "interrupted.ckpt").exists()


def test_one_that_comes_after_the_last_step_is_not_lost(tmp_path: Path) -> None:
    class Late(pl.Callback):
        def on_train_end(self, trainer: pl.Trainer, pl_module: pl.Module) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as caught:
        fit(tmp_path, Late())
    assert caught.value.code == 143
    assert load_ckpt(tmp_path / "interrupted.ckpt")["global_step"] == 18


def test_a_search_for_a_learning_rate_ends_with_the_batch_at_work(tmp_path: Path) -> None:
    steps: list[int] = []

    class Interrupted(Plain):
        def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
            steps.append(batch_idx)
            if len(steps) == 3:
                os.kill(os.getpid(), signal.SIGINT)

    trainer, module = quiet(default_root_dir=tmp_path, enable_checkpointing=True), seeded(Interrupted)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(KeyboardInterrupt):
        Tuner(trainer).lr_find(module, loader())
    assert steps == [0, 1, 2]
    assert same(module.state_dict(), before)
    assert list(tmp_path.iterdir()) == []


def test_a_trainer_scores_a_fit_that_was_interrupted(tmp_path: Path) -> None:
    module = seeded(Plain)
    trainer = quiet(max_epochs=3, callbacks=[Signals("training", signal.SIGINT), ModelCheckpoint(tmp_path)])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(module, loader())
    assert trainer.interrupted
    assert set(trainer.test(module, loader(), verbose=False)[0]) == {"test_loss"}
    assert not trainer.interrupted


def test_a_fit_that_saves_nothing_ends_without_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        quiet(max_epochs=3, callbacks=Signals("training", signal.SIGTERM)).fit(Plain(), loader())
    assert caught.value.code == 143
    assert list(tmp_path.iterdir()) == []


def test_a_fit_in_another_thread_leaves_signals_alone() -> None:
    trainer, seen = quiet(), []

    class Watch(Plain):
        def on_train_start(self) -> None:
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=trainer.fit, args=(Watch(), loader()))
    thread.start()
    thread.join()
    assert trainer.global_step == 6
    assert seen == [signal.getsignal(signal.SIGINT)]


class Measured(Regression):
    """Scores with a torchmetrics object, and logs every value of it."""

    def __init__(self) -> None:
        super().__init__()
        self.error = MeanSquaredError()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.error(self(batch[0]), batch[1])
        self.log("error", self.error, on_step=True, on_epoch=True)


def test_a_validation_that_was_cut_is_scored_once(tmp_path: Path) -> None:
    def sent(folder: str, *callbacks: pl.Callback, ckpt_path: str | None = None) -> list[Any]:
        recorder = Recorder()
        keep = ModelCheckpoint(tmp_path / folder)
        trainer = quiet(max_epochs=3, logger=recorder, callbacks=[*callbacks, keep])
        try:
            trainer.fit(seeded(Measured), loader(shuffle=True), loader(), ckpt_path=ckpt_path)
        except KeyboardInterrupt:
            assert callbacks
        return [
            (step, numbers) for step, numbers in recorder.sent if set(numbers) & {"error_step", "error_epoch"}
        ]

    whole = sent("whole")
    cut = sent("parts", Signals("validating", signal.SIGINT))
    rest = sent("parts", ckpt_path="last")
    # A whole validation and two batches of the next; then that again from its beginning, and the last.
    assert len(whole) == 3 * 7 and len(cut) == 7 + 2
    assert cut == whole[: len(cut)]
    assert rest == whole[7:]
