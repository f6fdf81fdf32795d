from __future__ import annotations

import pytest
import torch

from lifecycle.compress.histogram import BINS, Histogram


def test_no_value_is_lost_when_the_range_widens() -> None:
    histogram = Histogram()
    generator = torch.Generator().manual_seed(0)
    for scale in (1e-3, 1.0, 30.0, 0.1):
        histogram.add(torch.randn(7, 11, generator=generator) * scale)
    assert histogram.counts is not None and histogram.counts.shape == (BINS,)
    assert float(histogram.counts.sum()) == 4 * 77


def test_a_rare_outlier_is_clipped_and_a_plain_range_is_kept() -> None:
    plain, spiked = Histogram(), Histogram()
    values = torch.linspace(0, 1, 1_000_000)
    plain.add(values)
    spiked.add(torch.cat([values, torch.tensor([50.0])]))
    assert plain.best_range()[1] == pytest.approx(1, abs=0.02)
    assert 1 <= spiked.best_range()[1] < 30


def error(values: torch.Tensor, low: float, high: float) -> float:
    step = (high - low) / 255
    rounded = (((values - low) / step).round().clamp(0, 255) * step) + low
    return float((rounded - values).square().mean())


def test_the_range_has_less_error_than_the_extremes() -> None:
    values = torch.randn(200_000, generator=torch.Generator().manual_seed(0)) ** 3
    histogram = Histogram()
    for part in values.split(1000):
        histogram.add(part)
    assert error(values, *histogram.best_range()) < error(values, float(values.min()), float(values.max()))


def test_zero_is_in_the_range_and_constants_have_one() -> None:
    for value in (3.0, -3.0, 0.0):
        histogram = Histogram()
        histogram.add(torch.full((10,), value))
        low, high = histogram.best_range()
        assert low <= 0 <= high
        assert low <= value + 0.05 and high >= value - 0.05


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="a value is NaN or infinite"):
        Histogram().add(torch.tensor([1.0, value]))
