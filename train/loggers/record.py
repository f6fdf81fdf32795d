"""Numbers as they travel from the loop to a logger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Record(NamedTuple):
    """What was logged at a step.

    Attributes:
        metrics: Numbers by name.
        step: Of training; None where there is no step to it.
        time_s: When, in seconds since 1970: a logger may get it later.
    """

    metrics: Mapping[str, float]
    step: int | None
    time_s: float
