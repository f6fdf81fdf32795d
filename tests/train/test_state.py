from __future__ import annotations

from dataclasses import fields

from lifecycle.train.state import FitState

WITHIN = FitState(
    epoch=2,
    batch=3,
    batches_seen=11,
    global_step=5,
    stepped=5,
    pending=1,
    tail_due=True,
    ending=True,
    validated=True,
    eval_batches=[4, 6],
    should_stop=True,
)


def restored(state: FitState) -> FitState:
    found = FitState(epoch=9, batch=9)
    found.load_state_dict(state.state_dict())
    return found


def test_a_checkpoint_keeps_every_count() -> None:
    found = restored(WITHIN)
    different = {
        item.name for item in fields(FitState) if getattr(found, item.name) != getattr(WITHIN, item.name)
    }
    # Decided anew: whether to stop, and whether a validation followed the batch.
    assert different == {"should_stop", "validated"}
    assert not found.should_stop and not found.validated


def test_a_checkpoint_of_an_epochs_end_goes_on_with_the_next() -> None:
    found = restored(FitState(epoch=2, batch=6, batches_seen=18, global_step=18, last=True, epoch_done=True))
    assert (found.epoch, found.batch, found.last, found.epoch_done) == (3, 0, False, False)
    assert (found.batches_seen, found.global_step) == (18, 18)


def test_a_kept_state_does_not_change_with_the_fit() -> None:
    state = FitState(eval_batches=[1])
    kept = state.state_dict()
    state.eval_batches.append(2)
    assert kept["eval_batches"] == [1]


def test_a_fit_without_a_checkpoint_begins_the_epoch_anew_and_goes_on_counting() -> None:
    state = FitState(
        epoch=2,
        batch=3,
        batches_seen=11,
        global_step=5,
        stepped=5,
        pending=1,
        epoch_done=True,
        tail_due=True,
        last=True,
        validated=True,
        eval_batches=[4],
        should_stop=True,
    )
    state.begin()
    assert state == FitState(epoch=2, batches_seen=11, global_step=5, stepped=5, eval_batches=[4])


def test_what_an_older_checkpoint_lacks_stays() -> None:
    state = FitState(stepped=4)
    state.load_state_dict({"epoch": 2})
    assert (state.epoch, state.stepped) == (2, 4)
