from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import lifecycle as pl
from lifecycle.callbacks import EarlyStopping, EarlyStoppingReason
from lifecycle.core.errors import UsageError
from tests.train.callbacks.disturbed import both, differences
from tests.train.small import Plain, loader, quiet, seeded

NAN, INF = math.nan, math.inf


class Scored(Plain):
    """Its score in each epoch is given."""

    def __init__(self, scores: tuple[float, ...]) -> None:
        super().__init__()
        self.scores = scores

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("score", self.scores[self.current_epoch])


def fit(stop: EarlyStopping, scores: tuple[float, ...], **options: Any) -> pl.Trainer:
    trainer = quiet(**{"max_epochs": len(scores), "limit_train_batches": 1, "callbacks": [stop], **options})
    trainer.fit(Scored(scores), loader(), loader())
    return trainer


@pytest.mark.parametrize(
    ("options", "scores", "epochs", "reason"),
    [
        ({"patience": 2}, (3, 2, 2.5, 2.4, 1), 4, "PATIENCE_EXHAUSTED"),
        ({"patience": 2}, (3, 2, 2.5, 1, 1.5), 5, "NOT_STOPPED"),
        ({"patience": 1, "mode": "max"}, (1, 2, 2, 3), 3, "PATIENCE_EXHAUSTED"),  # no improvement is none
        ({"patience": 2, "min_delta": 0.5}, (3, 2.6, 2.4, 2.2, 2.1, 2), 5, "PATIENCE_EXHAUSTED"),
        ({"patience": 1, "min_delta": 0.5, "mode": "max"}, (1, 2, 2.4, 9), 3, "PATIENCE_EXHAUSTED"),
        ({"stopping_threshold": 1.0}, (3, 1.0, 0.9, 0.5), 3, "STOPPING_THRESHOLD"),
        ({"stopping_threshold": 0.9, "mode": "max"}, (0.1, 0.95, 0.99), 2, "STOPPING_THRESHOLD"),
        ({"divergence_threshold": 5.0}, (3, 4, 6, 1), 3, "DIVERGENCE_THRESHOLD"),
        ({"divergence_threshold": 0.2, "mode": "max"}, (0.3, 0.1, 1), 2, "DIVERGENCE_THRESHOLD"),
        ({}, (3, NAN, 1), 2, "NON_FINITE_METRIC"),
        ({"mode": "max"}, (3, INF, 1), 2, "NON_FINITE_METRIC"),
        ({"check_finite": False, "patience": 2}, (3, NAN, NAN, 1), 3, "PATIENCE_EXHAUSTED"),
        ({"check_finite": False, "mode": "max", "patience": 1}, (3, INF, INF), 3, "PATIENCE_EXHAUSTED"),
    ],
)
def test_the_fit_ends_when_and_why_the_options_say(
    options: dict[str, Any], scores: tuple[float, ...], epochs: int, reason: str
) -> None:
    stop = EarlyStopping("score", **options)
    trainer = fit(stop, scores)
    assert trainer.current_epoch == epochs
    assert stop.stopping_reason is EarlyStoppingReason[reason]
    assert stop.stopped_epoch == (0 if reason == "NOT_STOPPED" else epochs - 1)
    assert (stop.stopping_reason_message is None) == (reason == "NOT_STOPPED")


def test_the_best_score_and_the_checks_since_are_told() -> None:
    stop = EarlyStopping("score", patience=3)
    fit(stop, (3.0, 1.5, 2.0, 2.5))
    assert (float(stop.best_score), stop.wait_count) == (1.5, 2)


def test_epochs_without_validation_are_not_checks() -> None:
    stop = EarlyStopping("score", patience=1)
    trainer = fit(stop, (9.0, 3.0, 9.0, 2.0, 9.0, 4.0, 1.0, 1.0), check_val_every_n_epoch=2)
    assert trainer.current_epoch == 6  # 3.0, 2.0, 4.0


def test_validations_within_an_epoch_are_checks() -> None:
    class Rising(Plain):
        count = 0

        def on_validation_start(self) -> None:
            self.count += 1

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("score", float(self.count))

    trainer = quiet(
        max_epochs=3,
        val_check_interval=1,
        num_sanity_val_steps=0,
        callbacks=EarlyStopping("score", patience=2),
    )
    trainer.fit(Rising(), loader(), loader())
    assert trainer.global_step == 3


def test_the_check_can_be_moved_to_the_end_of_the_validation() -> None:
    class Late(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.Module) -> None:
            pl_module.log("late", 1.0)

    at_the_end = EarlyStopping("late", patience=1)
    assert fit(at_the_end, (1.0, 1.0, 1.0), callbacks=[at_the_end, Late()]).current_epoch == 2
    too_early = EarlyStopping("late", check_on_train_epoch_end=False)
    with pytest.raises(UsageError, match="which nobody logged"):
        fit(too_early, (1.0,), callbacks=[too_early, Late()])


def test_what_the_module_logs_at_the_end_of_its_epoch_is_seen() -> None:
    class Late(Plain):
        def on_train_epoch_end(self) -> None:
            self.log("late", 1.0)

    trainer = quiet(max_epochs=5, callbacks=EarlyStopping("late", patience=1))
    trainer.fit(Late(), loader())
    assert trainer.current_epoch == 2


def test_a_metric_that_nobody_logs_is_an_error_that_names_what_is_logged() -> None:
    with pytest.raises(
        UsageError,
        match=r"^EarlyStopping watches 'scor', which nobody logged: did you mean 'score'\? Allowed: score, train_loss",
    ):
        fit(EarlyStopping("scor"), (1.0, 2.0))


def test_unless_it_need_not_be_there() -> None:
    assert fit(EarlyStopping("scor", strict=False), (1.0, 2.0)).current_epoch == 2
    with pytest.warns(RuntimeWarning, match="which nobody logged"):
        fit(EarlyStopping("scor", strict=False, verbose=True), (1.0,))


def test_fast_dev_run_is_not_stopped() -> None:
    stop = EarlyStopping("nothing")
    quiet(fast_dev_run=True, callbacks=[stop]).fit(Plain(), loader(), loader())
    assert stop.wait_count == 0


def test_a_validation_of_its_own_is_no_check() -> None:
    stop = EarlyStopping("score", patience=1, check_on_train_epoch_end=False)
    trainer = fit(stop, (1.0,))
    for _ in range(3):
        trainer.validate(Scored((5.0, 5.0)), loader())
    assert (stop.wait_count, float(stop.best_score)) == (0, 1.0)


def test_the_reason_is_logged_if_wanted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "lifecycle"):
        fit(EarlyStopping("score", patience=1), (1.0, 2.0))
        assert not [line for line in caplog.messages if "score" in line]
        fit(EarlyStopping("score", patience=1, verbose=True), (2.0, 1.0, 3.0))
    assert [line for line in caplog.messages if "score" in line] == [
        "score improved to 2.000",
        "score improved to 1.000, before 2.000",
        "score did not improve in 1 checks; the best was 1.000",
    ]


def test_a_wrong_mode_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^EarlyStopping\(mode='maximum'\): did you mean 'max'\?"):
        EarlyStopping("score", mode="maximum")


@pytest.mark.parametrize("before", [8, 12, 18])
def test_a_resumed_fit_stops_where_the_undisturbed_one_does(tmp_path: Path, before: int) -> None:
    scores = (3.0, 2.0, 2.5, 2.4, 1.0)

    def callbacks() -> list[pl.Callback]:
        return [EarlyStopping("score", patience=2)]

    whole, parts = both(tmp_path, callbacks, lambda: seeded(Scored, scores=scores), before=before)
    assert whole.current_epoch == parts.current_epoch == 4
    assert differences(whole, parts) == []


def test_two_metrics_keep_their_own_state() -> None:
    keys = {EarlyStopping(name, mode=mode).state_key for name in ("a", "b") for mode in ("min", "max")}
    assert len(keys) == 4
    assert "EarlyStopping{'monitor': 'a', 'mode': 'min'}" in keys


def test_the_best_score_does_not_follow_the_metric() -> None:
    stop = EarlyStopping("val_loss")
    trainer = quiet(max_epochs=1, callbacks=[stop])
    trainer.fit(seeded(Plain), loader(), loader())
    before = float(stop.best_score)
    trainer.callback_metrics["val_loss"].fill_(7.0)
    assert float(stop.best_score) == before
    assert isinstance(stop.state_dict()["best_score"], torch.Tensor)
