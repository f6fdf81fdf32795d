from __future__ import annotations

import pytest
import torch

from lifecycle.compress.histogram import BINS, Histogram


def test_no_value_is_lost_when_the_range_widens() -> None:
    histogram = Histogram()
    generator = torch.Generator().manual_seed(0)
    for scale in (1e-3, 1.0, 30.0, 0.1):
        histogram.add(torch.randn(7, 11, generator=generator) * scale)
    assert histogram.counts.shape == (BINS,)
    assert float(histogram.counts.sum()) == 4 * 77


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="a value is NaN or infinite"):
        Histogram().add(torch.tensor([1.0, value]))
