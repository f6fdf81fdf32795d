"""How much is processed in a second: batches, samples, items, operations."""

from __future__ import annotations

from collections import deque

from lifecycle.core.errors import UsageError


class Throughput:
    """Rates over the last updates; they are there when the window is full.

    Args:
        available_flops: What a device could do in a second, for the share that is used (MFU: Chowdhery et
            al., "PaLM", 2022, appendix B).
        world_size: Devices; with several, rates of all together are given beside those of one.
        window_size: Updates that rates are taken over, 2 at least.
        separator: Stands between ``device`` and the name of a rate.

    Raises:
        UsageError: `window_size` or `world_size` is too small.
    """

    def __init__(
        self,
        available_flops: float | None = None,
        world_size: int = 1,
        window_size: int = 100,
        separator: str = "/",
    ) -> None:
        if world_size < 1 or window_size < 2:
            raise UsageError(
                f"Throughput(world_size={world_size}, window_size={window_size}): expected a device and 2 "
                "updates at least"
            )
        self.available_flops = available_flops
        self.world_size = world_size
        self.separator = separator
        self._totals: dict[str, deque[float]] = {
            name: deque(maxlen=window_size) for name in ("time", "batches", "samples", "lengths")
        }
        self._flops: deque[float] = deque(maxlen=window_size)

    def update(
        self, *, time: float, batches: int, samples: int, lengths: int | None = None, flops: int | None = None
    ) -> None:
        """Take the state after a batch, as sums since the start; each must have grown.

        Args:
            time: Seconds.
            batches: Batches on this device.
            samples: Samples in them.
            lengths: Items in those: words, pixels.
            flops: Operations of this batch alone.

        Raises:
            UsageError: a sum did not grow, or there are fewer samples than batches, or items than samples.
        """
        if samples < batches or (lengths is not None and lengths < samples):
            raise UsageError(
                f"a batch has a sample at least, and a sample an item: got {batches} batches, "
                f"{samples} samples" + ("" if lengths is None else f", {lengths} items")
            )
        given = {"time": time, "batches": batches, "samples": samples}
        if lengths is not None:
            given["lengths"] = lengths
        for name, total in given.items():
            before = self._totals[name]
            if before and total <= before[-1]:
                raise UsageError(f"{name} must grow with each update: it was {before[-1]}, and is {total}")
        for name, total in given.items():
            self._totals[name].append(total)
        if flops is not None:
            self._flops.append(flops * self.world_size)

    def compute(self) -> dict[str, float]:
        """Sums so far, and where the window is full the rates within it."""
        metrics = {name: totals[-1] for name, totals in self._totals.items() if totals}
        times = self._totals["time"]
        if len(times) < (times.maxlen or 0):
            return metrics
        seconds = times[-1] - times[0]
        for name, rate in (("batches", "batches"), ("samples", "samples"), ("lengths", "items")):
            totals = self._totals[name]
            if len(totals) == totals.maxlen:
                self._add(metrics, f"{rate}_per_sec", (totals[-1] - totals[0]) / seconds)
        if len(self._flops) == self._flops.maxlen:
            # The first batch of the window was done when its time begins.
            per_device = (sum(self._flops) - self._flops[0]) / seconds / self.world_size
            self._add(metrics, "flops_per_sec", per_device)
            if self.available_flops:
                metrics[f"device{self.separator}mfu"] = per_device / self.available_flops
        return metrics

    def reset(self) -> None:
        """Begin anew."""
        for totals in self._totals.values():
            totals.clear()
        self._flops.clear()

    def _add(self, metrics: dict[str, float], name: str, per_device: float) -> None:
        if self.world_size > 1:
            metrics[name] = per_device * self.world_size
        metrics[f"device{self.separator}{name}"] = per_device
