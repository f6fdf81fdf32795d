from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from lifecycle.callbacks import ModelCheckpoint
from lifecycle.core.errors import UsageError


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"mode": "maximum"}, "(mode='maximum'): allowed: min, max"),
        ({"save_last": "copy"}, "(save_last='copy'): allowed: True, False, 'link'"),
        ({"save_top_k": -2}, "(save_top_k=-2): expected a number of files, or -1 for all"),
        ({"save_top_k": 2}, "(save_top_k=2, monitor=None): name the metric by which the best are found"),
        ({"dirpath": "s3://bucket/a"}, "(dirpath='s3://bucket/a'): expected a local folder"),
        ({"every_n_epochs": -1}, "(every_n_train_steps=0, every_n_epochs=-1): expected 0 or more"),
        (
            {"every_n_train_steps": 2, "every_n_epochs": 3},
            "(every_n_train_steps=2, every_n_epochs=3, train_time_interval=None): "
            "give one of them; for several, add several ModelCheckpoints",
        ),
        (
            {"every_n_train_steps": 2, "train_time_interval": timedelta(minutes=1)},
            "(every_n_train_steps=2, every_n_epochs=0, train_time_interval=0:01:00): "
            "give one of them; for several, add several ModelCheckpoints",
        ),
    ],
)
def test_options_that_contradict_or_mean_nothing_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        ModelCheckpoint(**options)
    assert str(caught.value) == f"ModelCheckpoint{text}"


@pytest.mark.parametrize(
    ("options", "epochs"),
    [
        ({}, 1),
        ({"every_n_epochs": 3}, 3),
        ({"every_n_train_steps": 5}, 0),
        ({"train_time_interval": timedelta(0)}, 0),
        ({"every_n_epochs": 0}, 0),
        ({"every_n_train_steps": 0}, 0),
        ({"save_top_k": -1}, 1),
    ],
)
def test_epochs_count_where_nothing_else_does(options: dict[str, Any], epochs: int) -> None:
    assert ModelCheckpoint(**options).every_n_epochs == epochs
