from __future__ import annotations

from typing import get_args

import pytest
import torch

from lifecycle.compress.histogram import Histogram
from lifecycle.compress.ranges import (
    Calibration,
    central,
    extremes,
    least_divergence,
    least_squared_error,
    mean_extremes,
    range_finder,
)
from lifecycle.core.errors import UsageError


def seen(*batches: torch.Tensor) -> Histogram:
    histogram = Histogram()
    for batch in batches:
        histogram.add(batch)
    return histogram


def test_a_rare_outlier_is_clipped_and_a_plain_range_is_kept() -> None:
    plain, spiked = Histogram(), Histogram()
    values = torch.linspace(0, 1, 1_000_000)
    plain.add(values)
    spiked.add(torch.cat([values, torch.tensor([50.0])]))
    assert least_squared_error(plain)[1] == pytest.approx(1, abs=0.02)
    assert 1 <= least_squared_error(spiked)[1] < 30


def error(values: torch.Tensor, low: float, high: float) -> float:
    step = (high - low) / 255
    rounded = (((values - low) / step).round().clamp(0, 255) * step) + low
    return float((rounded - values).square().mean())


def test_the_range_has_less_error_than_the_extremes() -> None:
    values = torch.randn(200_000, generator=torch.Generator().manual_seed(0)) ** 3
    histogram = Histogram()
    for part in values.split(1000):
        histogram.add(part)
    assert error(values, *least_squared_error(histogram)) < error(
        values, float(values.min()), float(values.max())
    )


def test_zero_is_in_the_range_and_constants_have_one() -> None:
    for value in (3.0, -3.0, 0.0):
        histogram = Histogram()
        histogram.add(torch.full((10,), value))
        low, high = least_squared_error(histogram)
        assert low <= 0 <= high
        assert low <= value + 0.05 and high >= value - 0.05


def test_extremes_are_exact_and_their_means_are_over_batches() -> None:
    histogram = seen(torch.tensor([-1.0, 2.0]), torch.tensor([-3.0, 4.0]), torch.tensor([1.0, 12.0]))
    assert extremes(histogram) == (-3, 12)
    assert mean_extremes(histogram) == pytest.approx((-1, 6))
    assert extremes(seen(torch.tensor([2.0, 3.0]))) == (0, 3)


def test_a_percentile_is_that_of_the_values() -> None:
    values = torch.randn(400_000, generator=torch.Generator().manual_seed(0))
    low, high = central(seen(*values.split(10_000)), 99.0)
    assert low == pytest.approx(-2.576, abs=0.03)
    assert high == pytest.approx(2.576, abs=0.03)
    assert central(seen(values), 100.0) == extremes(seen(values))


def test_entropy_clips_a_long_tail_and_keeps_what_is_even() -> None:
    generator = torch.Generator().manual_seed(0)
    even = torch.rand(300_000, generator=generator)
    assert least_divergence(seen(even))[1] == pytest.approx(1, abs=0.02)
    tailed = torch.cat([torch.randn(300_000, generator=generator), torch.tensor([-40.0, 40.0])])
    low, high = least_divergence(seen(tailed))
    assert -12 < low < -2.5 and 2.5 < high < 12


@pytest.mark.parametrize("calibration", get_args(Calibration))
def test_every_method_keeps_zero_and_what_is_constant(calibration: Calibration) -> None:
    for value in (3.0, -3.0, 0.0):
        low, high = range_finder(calibration)(seen(torch.full((10,), value), torch.full((5,), value)))
        assert low <= 0 <= high
        assert low <= value + 0.05 and high >= value - 0.05


def test_unknown_methods_and_percentiles_are_refused() -> None:
    with pytest.raises(UsageError, match="no calibration is called 'minmax': did you mean 'min_max'"):
        range_finder("minmax")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"percentile is 0\.99; expected a number above 50, at most 100"):
        range_finder("percentile", percentile=0.99)
