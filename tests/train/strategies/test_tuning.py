"""Learning rates and batch sizes that two processes search: both come to the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lifecycle.core.errors import UsageError
from lifecycle.train.tuner import Tuner
from tests.train.strategies import tuning
from tests.train.strategies.forked import run_ranks_anew
from tests.train.strategies.ranks import batches, trainer
from tests.train.strategies.test_ranks import close

Outcomes = dict[str, list[Any]]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    return run_ranks_anew(
        [tuning.rates, tuning.sizes, tuning.sizes_divided], tmp_path_factory.mktemp("tuning")
    )


def test_a_learning_rate_is_that_of_one_process_with_the_doubled_batch(two: Outcomes, tmp_path: Path) -> None:
    alone = tuning.rates(tmp_path)["auto"]
    for found in two["rates"]:
        for way in ("ddp", "fsdp"):
            assert found[way]["untouched"]
            assert found[way]["lr"] == alone["lr"]
            # With the greatest rates at the end the least difference grows.
            assert close(found[way]["losses"][:25], alone["losses"][:25])


def test_a_batch_size_is_what_fits_in_every_process(two: Outcomes) -> None:
    assert two["sizes"] == [[20, 20, 8]] * 2  # two epochs of 64 samples for each


def test_where_steps_need_the_others_a_batch_size_is_refused(two: Outcomes) -> None:
    assert (
        two["sizes_divided"]
        == [
            {
                "error": "a batch size is not searched with strategy='fsdp' in 2 processes: where memory does not "
                "suffice in one, the others would wait for it for ever\nPass a batch size that you know to fit, "
                "and gradients of several: accumulate_grad_batches."
            }
        ]
        * 2
    )


def test_what_other_processes_would_find_is_refused(tmp_path: Path) -> None:
    tuner = Tuner(trainer(tmp_path, devices=2, strategy="ddp_fork"))
    with pytest.raises(UsageError) as caught:
        tuner.lr_find(tuning.Tuned(), batches(4))
    assert str(caught.value) == (
        "a Tuner finds nothing here: with start_method='fork' it would in the 2 processes that are started from "
        "this one\nSearch with devices=1, or pass the finder to Trainer(callbacks=…)."
    )
