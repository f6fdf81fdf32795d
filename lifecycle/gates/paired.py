"""Whether two files differ on the same test samples, or whether the sample explains what is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
CONFIDENCE = 0.95
_RESAMPLES = 9_999


@dataclass(frozen=True, kw_only=True)
class Paired:
    """One metric of two files on identical samples, or batches.

    Attributes:
        difference: The candidate's mean less the champion's.
        low: Lower end of the 95 % confidence interval of that.
        high: Upper end.
        p: Two-sided p-value of McNemar's exact test, where each value says right or wrong; else None.
        count: How many pairs.
        unit: ``samples`` or ``batches``.
    """

    difference: float
    low: float
    high: float
    p: float | None
    count: int
    unit: str

    def says(self, *, less_is_better: bool) -> str:
        """``better`` or ``worse`` where both tests agree; else that the difference is within noise."""
        sure = (self.low > 0 or self.high < 0) and (self.p is None or self.p < 1 - CONFIDENCE)
        if not sure:
            return "no difference beyond noise"
        return "better" if (self.difference < 0) == less_is_better else "worse"

    def __str__(self) -> str:
        test = "" if self.p is None else f", McNemar p = {self.p:.2g}"
        return f"{self.difference:+.4g} [{self.low:+.4g}, {self.high:+.4g}] on {self.count} {self.unit}{test}"


def paired(candidate: Values, champion: Values, weights: Values | None = None) -> Paired:
    """Compare two files that answered the same samples.

    The interval is that of the paired percentile bootstrap (Efron and Tibshirani, *An Introduction to the
    Bootstrap*, 1993, 13.3): pairs are drawn anew, not values. Where every value is 0 or 1, McNemar's test
    looks at the pairs of which one is right and the other wrong (McNemar, *Psychometrika* 12, 1947), in its
    exact form: they are as likely to fall on either side.

    Args:
        candidate: One value to a pair.
        champion: The same.
        weights: Samples of each pair, where pairs are batches; None where they are samples.

    >>> right, wrong = np.ones(50), np.zeros(50)
    >>> print(paired(np.concatenate([right, right]), np.concatenate([right, wrong])))
    +0.5 [+0.4, +0.6] on 100 samples, McNemar p = 1.8e-15
    """
    difference = candidate - champion
    share = np.full(len(difference), 1 / len(difference)) if weights is None else weights / weights.sum()
    low, high = _interval(difference, share)
    return Paired(
        difference=float(difference @ share),
        low=low,
        high=high,
        p=_mcnemar(candidate, champion) if weights is None else None,
        count=len(difference),
        unit="samples" if weights is None else "batches",
    )


def _interval(difference: Values, share: Values) -> tuple[float, float]:
    """Percentiles of the weighted mean over resamples; how often each pair is drawn is multinomial."""
    count = len(difference)
    generator = np.random.default_rng(0)
    means = []
    step = max(1, 2_000_000 // count)  # 16 MB at a time
    for start in range(0, _RESAMPLES, step):
        drawn = generator.multinomial(count, np.full(count, 1 / count), min(step, _RESAMPLES - start))
        means.append((drawn @ (difference * share)) / (drawn @ share))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(means), (tail, 1 - tail))
    return float(low), float(high)


def _mcnemar(candidate: Values, champion: Values) -> float | None:
    from scipy.stats import binomtest  # type: ignore[import-untyped]

    if not np.isin(np.concatenate([candidate, champion]), (0.0, 1.0)).all():
        return None
    gained, lost = int((candidate > champion).sum()), int((candidate < champion).sum())
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
