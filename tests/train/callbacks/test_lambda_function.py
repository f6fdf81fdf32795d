from __future__ import annotations

import inspect

import pytest

import lifecycle as pl
from lifecycle.callbacks import LambdaCallback
from tests.train.small import Plain, loader, quiet

NOT_HOOKS = {
    *("state_key", "state_dict", "load_state_dict", "take_over", "save_if_due", "saves", "monitors", "tunes"),
    *("times", "phase_begins", "phase_ends"),
}


def test_it_takes_every_hook_of_a_callback() -> None:
    hooks = {name for name in vars(pl.Callback) if not name.startswith("_")} - NOT_HOOKS
    assert set(inspect.signature(LambdaCallback).parameters) == hooks
    assert len(hooks) == 37


def test_functions_are_called_with_the_arguments_of_their_hook() -> None:
    seen: list[tuple[str, int]] = []
    trainer = quiet(
        max_epochs=1,
        limit_train_batches=2,
        callbacks=LambdaCallback(
            setup=lambda trainer, module, stage: seen.append((stage, trainer.global_step)),
            on_train_batch_end=lambda trainer, module, outputs, batch, index: seen.append(
                (f"batch of {len(batch[0])}", index)
            ),
            on_fit_end=lambda *given: seen.append(("end", len(given))),
        ),
    )
    trainer.fit(Plain(), loader())
    assert seen == [("fit", 0), ("batch of 4", 0), ("batch of 4", 1), ("end", 2)]


def test_what_is_not_given_is_not_overridden() -> None:
    callback = LambdaCallback(on_fit_end=print)
    assert callback.on_fit_end is print
    assert set(vars(callback)) == {"on_fit_end"}


def test_an_unknown_hook_is_an_error() -> None:
    with pytest.raises(TypeError, match="on_fit_ends"):
        LambdaCallback(on_fit_ends=print)  # type: ignore[call-arg]
