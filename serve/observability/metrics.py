"""What is counted; `lifecycle.serve.observability.exposition` shows it to Prometheus."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from lifecycle.serve.observability.cells import Cells

log = logging.getLogger("lifecycle.serve")

CELLS = "cells"
"""Where the processes of a server count, in its own folder."""

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SAMPLES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


@dataclass(frozen=True)
class Family:
    """One metric: its kind, what it says, and the names of its labels."""

    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """How many numbers: a histogram has a sum, then its buckets, the last without a bound."""
        return len(self.bounds) + 2 if self.kind == "histogram" else 1


FAMILIES: Mapping[str, Family] = {
    "lifecycle_http_requests": Family(
        "counter", "Requests answered, by route template.", ("route", "method", "status")
    ),
    "lifecycle_http_errors": Family("counter", "Requests refused or failed, by code.", ("route", "code")),
    "lifecycle_http_request_seconds": Family(
        "histogram", "From the head of a request to the end of its answer.", ("route",), SECONDS
    ),
    "lifecycle_http_requests_in_flight": Family("gauge", "Requests in work."),
    "lifecycle_queue_wait_seconds": Family(
        "histogram", "How long a request waited for the model.", ("model",), SECONDS
    ),
    "lifecycle_compute_seconds": Family(
        "histogram", "How long the model computed a batch.", ("model",), SECONDS
    ),
    "lifecycle_batch_samples": Family(
        "histogram", "Samples that were computed together.", ("model",), SAMPLES
    ),
    "lifecycle_requests_shed": Family(
        "counter", "Requests refused because they would have waited too long.", ("model",)
    ),
    "lifecycle_model_info": Family(
        "gauge", "How many workers serve this version.", ("model", "version", "digest")
    ),
    "lifecycle_model_swaps": Family(
        "counter", "Versions that workers put in the place of another.", ("model", "outcome")
    ),
    "lifecycle_model_swap_seconds": Family(
        "histogram", "Opening and warming up a version, while the one before serves.", ("model",), SECONDS
    ),
    "lifecycle_candidates": Family(
        "counter", "Versions that an alias moved to, by whether they were found good.", ("model", "outcome")
    ),
    "lifecycle_model_refused": Family(
        "gauge", "1 while the alias names a version that is refused.", ("model",)
    ),
    "lifecycle_registry_looks": Family("counter", "Looks at the alias.", ("model", "outcome")),
    "lifecycle_registry_up": Family(
        "gauge", "Whether the registry answered when it was last asked.", ("model",)
    ),
    "lifecycle_registry_answered_timestamp_seconds": Family(
        "gauge", "When the registry last answered.", ("model",)
    ),
}


class Metrics:
    """Counts for one process; nothing here may fail a request.

    Args:
        cells: Where the numbers are.
    """

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._values = cells.values
        self._slots: dict[tuple[str, tuple[str, ...]], int] = {}
        self._full = False
        self._spill = cells.block("spill", size=max(family.size for family in FAMILIES.values()))
        cells.clear([name for name, family in FAMILIES.items() if family.kind == "gauge"])

    def adder(self, name: str, labels: tuple[str, ...] = ()) -> Callable[[float], None]:
        """What adds to a counter or gauge, for who counts often."""
        values, slot = self._values, self._slot(name, labels)

        def add(amount: float) -> None:
            values[slot] += amount

        return add

    def observer(self, name: str, labels: tuple[str, ...]) -> Callable[[float], None]:
        """What puts a value in its bucket, likewise."""
        values, slot, bounds = self._values, self._slot(name, labels), FAMILIES[name].bounds
        first = slot + 1

        def observe(value: float) -> None:
            values[slot] += value
            values[first + bisect_left(bounds, value)] += 1.0

        return observe

    def add(self, name: str, labels: tuple[str, ...] = (), amount: float = 1.0) -> None:
        """Count, or move a gauge."""
        self._values[self._slot(name, labels)] += amount

    def set(self, name: str, labels: tuple[str, ...], value: float) -> None:
        """Give a gauge its value."""
        self._values[self._slot(name, labels)] = value

    def observe(self, name: str, labels: tuple[str, ...], value: float) -> None:
        """Put a value in its bucket."""
        self.observer(name, labels)(value)

    def _slot(self, name: str, labels: tuple[str, ...]) -> int:
        family = FAMILIES[name]
        slot = self._slots.get((name, labels))
        if slot is None:
            try:
                slot = self._cells.block(name, labels, size=family.size)
            except OverflowError as error:
                slot = self._spill  # counted, and shown nowhere
                if not self._full:
                    log.error("metrics: %s", error)
                self._full = True
            self._slots[name, labels] = slot
        return slot
