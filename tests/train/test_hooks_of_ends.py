"""The order of hooks where a fit ends early or goes on: as in Lightning, unless "Not so" says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

import lifecycle as pl
from lifecycle.callbacks import ModelCheckpoint
from tests.train.hook_order import (
    BEGIN,
    CLEAR,
    FIT_END,
    FIT_START,
    LOADERS,
    MOVE,
    RESTORE,
    SCHEDULE,
    SET_UP,
    STATES,
    TRAIN_START,
    UPDATE,
    WHOLE,
    batch,
    epoch,
    evaluation,
    validation,
)
from tests.train.hook_record import Recorded, expanded

# Checkpoints


def test_what_a_checkpoint_asks_for(tmp_path: Path) -> None:
    recorded = Recorded()
    trainer: Any = recorded.trainer()
    trainer.fit(recorded.module, datamodule=recorded.data)
    recorded.calls.clear()
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert recorded.calls == expanded(STATES)


class Saves(pl.Callback):
    """Saves once, after some batch."""

    def __init__(self, path: Path, after: tuple[int, int]) -> None:
        self.path = path
        self.after = after

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.Module, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if (trainer.current_epoch, batch_idx) == self.after:
            trainer.save_checkpoint(self.path)


def test_a_fit_that_goes_on_within_an_epoch(tmp_path: Path) -> None:
    """Without the short validation, and without beginning the epoch again."""
    Recorded(train=3).fit(Saves(tmp_path / "a.ckpt", (0, 0)))
    rest = batch(0, 1, last=False) + batch(0, 2, last=True) + validation() + "cm.on_train_epoch_end "
    assert Recorded(train=3).fit(ckpt_path=tmp_path / "a.ckpt", num_sanity_val_steps=1) == expanded(
        SET_UP + RESTORE + FIT_START + LOADERS + TRAIN_START + rest + "cm.on_train_end " + FIT_END
    )


def test_a_fit_that_goes_on_after_an_epoch(tmp_path: Path) -> None:
    """With the short validation."""
    Recorded().fit(ModelCheckpoint(tmp_path, filename="a"), enable_checkpointing=True)
    start = SET_UP + RESTORE + FIT_START + "c.on_sanity_check_start d.val_dataloader "
    start += evaluation("validation") + "c.on_sanity_check_end d.train_dataloader " + TRAIN_START
    assert Recorded().fit(ckpt_path=tmp_path / "a.ckpt", max_epochs=2, num_sanity_val_steps=1) == expanded(
        start + epoch(1) + "cm.on_train_end " + FIT_END
    )


def test_a_finished_fit_goes_on_to_its_end_alone(tmp_path: Path) -> None:
    """Not so in Lightning, where the end is left out: what is done there (averaged weights take their place,
    say) may not have been done when the process that wrote the checkpoint was killed.
    """
    Recorded().fit(ModelCheckpoint(tmp_path, filename="a"), enable_checkpointing=True)
    assert Recorded().fit(ckpt_path=tmp_path / "a.ckpt") == expanded(
        SET_UP + RESTORE + FIT_START + LOADERS + TRAIN_START + "cm.on_train_end " + FIT_END
    )


def test_a_test_of_a_checkpoint_gives_everyone_their_state(tmp_path: Path) -> None:
    Recorded().fit(Saves(tmp_path / "a.ckpt", (0, 1)))
    recorded = Recorded()
    trainer: Any = recorded.trainer()
    trainer.test(recorded.module, datamodule=recorded.data, ckpt_path=tmp_path / "a.ckpt")
    assert recorded.calls == expanded(
        SET_UP.replace("fit", "test")
        + RESTORE
        + "m.zero_grad d.test_dataloader "
        + evaluation("test")
        + FIT_END.replace("fit", "test").replace("cm.on_test_end ", "")
    )


def test_who_saves_does_so_as_the_last_act_of_a_step() -> None:
    """Not so in Lightning: its ModelCheckpoint saves in on_train_batch_end and on_validation_end, before the
    module's own hook and before a validation that is due, so its metrics are those of another step (#20185).
    """
    recorded = Recorded(train=2)

    class Saving(pl.Callback):
        saves = True

        def save_if_due(self, trainer: pl.Trainer, pl_module: pl.Module, **told: bool) -> None:
            recorded.calls.append("saves:" + ",".join(name for name, value in told.items() if value))

    wanted = ("on_train_batch_end", "on_validation_end", "on_train_epoch_end", "saves")
    calls = recorded.fit(Saving())
    assert [call.partition("(")[0] for call in calls if any(name in call for name in wanted)] == [
        *expanded("cm.on_train_batch_end"),
        "saves:stepped",
        *expanded("cm.on_train_batch_end cm.on_validation_end cm.on_train_epoch_end"),
        "saves:stepped,validated,epoch_ended",
    ]


# What ends early


def test_a_batch_that_is_skipped_skips_the_rest_of_the_epoch() -> None:
    """The module may do so; what a callback returns counts for nothing."""
    recorded = Recorded(train=3)
    recorded.module.on_train_batch_start = lambda batch, batch_idx: -1 if batch_idx == 1 else None
    recorded.callback.on_train_batch_start = lambda trainer, module, batch, batch_idx: -1  # type: ignore[method-assign]
    first = batch(0, 0, last=False).replace("cm.on_train_batch_start(B,0) ", "")
    skipped = MOVE.format(o="d", k=0) + SCHEDULE * 2
    assert recorded.fit() == expanded(
        SET_UP
        + FIT_START
        + LOADERS
        + TRAIN_START
        + "cm.on_train_epoch_start "
        + first
        + skipped
        + "cm.on_train_epoch_end cm.on_train_end "
        + FIT_END
    )


def test_a_step_that_gives_nothing_is_stepped_without_gradients() -> None:
    recorded = Recorded(train=1)
    recorded.module.training_step = lambda batch, batch_idx: None
    words = BEGIN + "m.optimizer_step({e},{i},opt,fn) " + CLEAR + UPDATE + SCHEDULE * 2
    words = words.format(e=0, i=0, clip=None, by=None, o="d") + "cm.on_train_batch_end({},B,0) "
    assert recorded.fit(limit_val_batches=0) == expanded(
        SET_UP
        + FIT_START
        + "d.train_dataloader "
        + TRAIN_START
        + "cm.on_train_epoch_start "
        + words
        + "cm.on_train_epoch_end cm.on_train_end "
        + FIT_END
    )


def test_without_an_optimizer_all_hooks_run() -> None:
    recorded = Recorded(schedules=False)
    recorded.module.configure_optimizers = lambda: None
    with pytest.warns(UserWarning, match="^configure_optimizers returned None: this fit changes no weights$"):
        calls = recorded.fit()
    words = WHOLE.replace("m.configure_optimizers ", "").replace(SCHEDULE, "")
    assert calls == expanded(words)


def test_a_request_to_stop_ends_the_epoch_after_the_batch_and_a_validation() -> None:
    recorded = Recorded(train=5)
    module = recorded.module

    def stop(outputs: object, batch: object, batch_idx: int) -> None:
        module.trainer.should_stop = True

    module.on_train_batch_end = stop
    first = batch(0, 0, last=False).replace("cm.on_train_batch_end", "c.on_train_batch_end")
    assert recorded.fit(max_epochs=3) == expanded(
        SET_UP
        + FIT_START
        + LOADERS
        + TRAIN_START
        + "cm.on_train_epoch_start "
        + first
        + validation()
        + "cm.on_train_epoch_end cm.on_train_end "
        + FIT_END
    )


def test_a_request_to_stop_before_the_first_epoch() -> None:
    recorded = Recorded()
    recorded.module.on_train_start = lambda: setattr(recorded.module.trainer, "should_stop", True)
    words = SET_UP + FIT_START + LOADERS + "c.on_train_start cm.on_train_end " + FIT_END
    assert recorded.fit() == expanded(words)


@pytest.mark.parametrize(
    ("where", "reached"),
    [
        ("setup", SET_UP.replace("cm.setup(stage=fit) m.configure_model", "c.setup(stage=fit)")),
        ("configure_optimizers", SET_UP),
        (
            "training_step",
            SET_UP
            + FIT_START
            + LOADERS
            + TRAIN_START
            + "cm.on_train_epoch_start "
            + BEGIN.format(o="d", i=0)
            + "m.optimizer_step(0,0,opt,fn) ",
        ),
        ("teardown", WHOLE.replace("cm.teardown", "c.teardown")),
    ],
)
def test_what_is_raised_is_told_and_nothing_torn_down(where: str, reached: str) -> None:
    """The module has no such hook: an exception goes to callbacks, then to the data."""
    recorded = Recorded()

    def broken(*given: object, **named: object) -> None:
        raise ZeroDivisionError

    setattr(recorded.module, where, broken)
    with pytest.raises(ZeroDivisionError):
        recorded.fit()
    told = "c.on_exception(ZeroDivisionError) d.on_exception(ZeroDivisionError)"
    assert recorded.calls == expanded(reached + " " + told)


def test_a_second_fit_begins_where_the_first_ended() -> None:
    recorded = Recorded()
    trainer: Any = recorded.trainer()
    trainer.fit(recorded.module, datamodule=recorded.data)
    recorded.calls.clear()
    trainer.fit_loop.max_epochs = 2
    trainer.fit(recorded.module, datamodule=recorded.data)
    assert recorded.calls == expanded(
        SET_UP + FIT_START + LOADERS + TRAIN_START + epoch(1) + "cm.on_train_end " + FIT_END
    )
    assert (trainer.current_epoch, trainer.global_step) == (2, 4)


def test_a_fit_after_one_that_failed_begins_the_epoch_again() -> None:
    recorded = Recorded(train=3)
    step = recorded.module.training_step

    def broken(batch: Any, batch_idx: int) -> Tensor:
        if batch_idx == 1:
            raise ZeroDivisionError
        return step(batch, batch_idx)  # type: ignore[no-any-return]

    recorded.module.training_step = broken
    trainer: Any = recorded.trainer()
    with pytest.raises(ZeroDivisionError):
        trainer.fit(recorded.module, datamodule=recorded.data)
    assert (trainer.current_epoch, trainer.global_step) == (0, 1)
    recorded.calls.clear()
    recorded.module.training_step = step
    trainer.fit(recorded.module, datamodule=recorded.data)
    assert recorded.calls == expanded(
        SET_UP + FIT_START + LOADERS + TRAIN_START + epoch(0, batches=3) + "cm.on_train_end " + FIT_END
    )
    assert (trainer.current_epoch, trainer.global_step) == (1, 4)
