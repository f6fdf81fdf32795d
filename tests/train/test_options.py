from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from lifecycle.core.errors import UsageError
from lifecycle.train import options
from lifecycle.train.precision import precision_of


def refused(call: Any) -> str:
    with pytest.raises(UsageError) as error:
        call()
    return str(error.value)


@pytest.mark.parametrize(
    ("given", "meant"),
    [(None, 1.0), (1.0, 1.0), (0.25, 0.25), (0.0, 0.0), (1, 1), (0, 0), (7, 7), (7.0, 7)],
)
def test_a_limit_is_a_count_or_a_fraction(given: Any, meant: float) -> None:
    found = options.limit("limit_val_batches", given)
    assert (found, type(found)) == (meant, type(meant))


@pytest.mark.parametrize("given", [-1, -0.5, 1.5])
def test_other_limits_are_refused(given: float) -> None:
    assert refused(lambda: options.limit("limit_val_batches", given)) == (
        f"Trainer(limit_val_batches={given}): expected a whole number of batches, "
        "or a fraction of them from 0.0 to 1.0"
    )


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("00:00:00:00", 0.0),
        ("01:02:03:04", 93784.0),
        (timedelta(minutes=2), 120.0),
        ({"hours": 1, "seconds": 5}, 3605.0),
    ],
)
def test_a_duration_is_written_in_three_ways(given: Any, seconds: float) -> None:
    assert options.seconds("max_time", given) == seconds


@pytest.mark.parametrize("given", ["1:2:3", "soon", {"fortnights": 1}, 5])
def test_other_durations_are_refused(given: Any) -> None:
    assert refused(lambda: options.seconds("max_time", given)) == (
        f"max_time={given!r}: expected \"DD:HH:MM:SS\", a timedelta, or a dictionary such as {{'hours': 1}}"
    )


@pytest.mark.parametrize(
    ("epochs", "steps", "timed", "meant"),
    [
        (None, -1, False, 1000),
        (None, 5, False, None),
        (None, -1, True, None),
        (-1, -1, False, None),
        (0, -1, False, 0),
        (3, 5, True, 3),
    ],
)
def test_without_a_number_of_epochs_other_limits_end_a_fit(
    epochs: int | None, steps: int, timed: bool, meant: int | None
) -> None:
    assert options.epochs_of(epochs, steps, timed=timed) == meant


def test_counts_are_whole_numbers() -> None:
    options.at_least(1, accumulate_grad_batches=1, check_val_every_n_epoch=None)
    for value in (0, 1.5, True, "2"):
        assert refused(lambda v=value: options.at_least(1, accumulate_grad_batches=v)) == (
            f"Trainer(accumulate_grad_batches={value!r}): expected a whole number of at least 1"
        )


def test_clipping_takes_a_size_and_a_way() -> None:
    for value in (None, 0, 0.5, 3):
        options.check_clipping(value, None)
    for algorithm in ("norm", "value", "NORM"):
        options.check_clipping(1.0, algorithm)
    for value in (-1, "1", True):
        assert refused(lambda v=value: options.check_clipping(v, None)) == (
            f"Trainer(gradient_clip_val={value!r}): expected a number from 0 on, or None"
        )
    assert refused(lambda: options.check_clipping(1.0, "nrom")) == (
        "Trainer(gradient_clip_algorithm='nrom'): did you mean 'norm'? Allowed: norm, value"
    )


@pytest.mark.parametrize(
    ("interval", "batches", "meant"),
    [
        (1.0, 10, None),
        (1.0, None, None),
        (0.25, 10, 2),
        (0.5, 10, 5),
        (0.01, 10, 1),
        (0.0, 10, 1),
        (3, 10, 3),
        (10, 10, 10),
        (3, None, 3),
    ],
)
def test_validation_comes_after_so_many_batches_or_a_fraction(
    interval: Any, batches: int | None, meant: int | None
) -> None:
    assert options.every_n_batches(interval, batches, bounded=True) == meant


def test_an_interval_that_never_ends_is_refused() -> None:
    assert options.every_n_batches(11, 10, bounded=False) == 11
    assert refused(lambda: options.every_n_batches(11, 10, bounded=True)) == (
        "Trainer(val_check_interval=11): an epoch has only 10 training batches\n"
        "Pass check_val_every_n_epoch=None to count batches across epochs."
    )
    assert refused(lambda: options.every_n_batches(0.5, None, bounded=True)) == (
        "Trainer(val_check_interval=0.5): a fraction of an epoch needs a loader with a length; "
        "give a number of batches"
    )


def test_a_fraction_of_an_epoch_needs_epochs_that_count() -> None:
    for interval in (None, 3, "00:00:01:00"):
        options.check_interval(interval, None)
    options.check_interval(0.5, 1)
    assert refused(lambda: options.check_interval(0.5, None)) == (
        "Trainer(val_check_interval=0.5, check_val_every_n_epoch=None): batches are counted across epochs, "
        "so a fraction of an epoch says nothing\n"
        "Give a whole number of batches or a time."
    )


def test_barebones_switches_everything_off_unless_it_was_asked_for() -> None:
    assert not options.off(False, logger=True)
    assert options.off(True, logger=False, profiler=None, log_every_n_steps=0)
    assert refused(lambda: options.off(True, logger=True)) == (
        "Trainer(barebones=True, logger=True): barebones switches off whatever costs time; leave logger out"
    )


def test_a_precision_may_be_a_plugin() -> None:
    import torch

    double = precision_of("64-true", torch.device("cpu"))
    assert options.precision_among("32", None) == "32"
    assert options.precision_among("32", []) == "32"
    assert options.precision_among(None, double) is options.precision_among(None, [double]) is double
    assert refused(lambda: options.precision_among("32", double)) == (
        "Trainer(precision=…, plugins=…): say once in which types to compute"
    )
    assert refused(lambda: options.precision_among(None, ["slurm"])) == (
        "Trainer(plugins=…) holds a str; this version takes a precision only"
    )
