"""Where the time of training steps went, on every process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import mean

from lifecycle.train.phases import PHASES, VALIDATION, PhaseTimes

# Without these a process is slow by itself: in them it waits for others that are.
_SHARED = ("sync", "backward")
# A process whose own work takes longer than that of the others by so much of a step is worth a word.
LAG = 0.05
MEMORY = ("allocated", "reserved", "resident")


@dataclass(frozen=True, kw_only=True)
class RankReport:
    """One process.

    Attributes:
        times: Of its batches.
        flops_per_sample: Floating-point operations of forward and backward; 0 where they are not known.
        memory: The most bytes so far: ``allocated`` and ``reserved`` on a GPU, ``resident`` of the process.
    """

    times: PhaseTimes
    flops_per_sample: float = 0.0
    memory: dict[str, float] = field(default_factory=dict)

    def ms(self, phase: str) -> float:
        """Milliseconds of a batch."""
        return 1e3 * self.times.seconds.get(phase, 0.0) / max(self.times.batches, 1)

    @property
    def step_ms(self) -> float:
        """Milliseconds of a batch, from the end of the one before to its own."""
        return sum(self.ms(phase) for phase in PHASES)

    @property
    def own_ms(self) -> float:
        """Milliseconds of a batch in which it does not wait for other processes."""
        return self.step_ms - sum(self.ms(phase) for phase in _SHARED)

    def packed(self) -> list[float]:
        """As numbers, for other processes."""
        seconds = [self.times.seconds.get(phase, 0.0) for phase in (*PHASES, VALIDATION)]
        memory = [self.memory.get(name, 0.0) for name in MEMORY]
        return [self.times.batches, self.times.samples, self.flops_per_sample, *seconds, *memory]

    @classmethod
    def unpacked(cls, numbers: Sequence[float]) -> RankReport:
        """What `packed` gave."""
        batches, samples, flops, *rest = numbers
        seconds = dict(zip((*PHASES, VALIDATION), rest, strict=False))
        memory = dict(zip(MEMORY, rest[len(seconds) :], strict=True))
        return cls(
            times=PhaseTimes(batches=int(batches), samples=int(samples), seconds=seconds),
            flops_per_sample=flops,
            memory={name: size for name, size in memory.items() if size},
        )


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """All processes, by rank.

    Attributes:
        ranks: Of each.
        peak_flops: What one device could do in a second; None where that is not known.
    """

    ranks: tuple[RankReport, ...]
    peak_flops: float | None = None

    def ms(self, phase: str) -> float:
        """Milliseconds of a batch, the mean of all processes."""
        return mean(rank.ms(phase) for rank in self.ranks)

    @property
    def step_ms(self) -> float:
        """Milliseconds of a batch, the mean of all processes."""
        return mean(rank.step_ms for rank in self.ranks)

    @property
    def validation_s(self) -> float:
        """Seconds of validations within training, the mean of all processes."""
        return mean(rank.times.seconds.get(VALIDATION, 0.0) for rank in self.ranks)

    @property
    def batches_per_sec(self) -> float:
        """Of all processes together."""
        return sum(1e3 / rank.step_ms for rank in self.ranks if rank.step_ms)

    @property
    def samples_per_sec(self) -> float:
        """Of all processes together."""
        return sum(_samples_per_sec(rank) for rank in self.ranks)

    @property
    def mfu(self) -> float | None:
        """The share of the devices' operations that the model took (Chowdhery et al., "PaLM", 2022,
        appendix B); None where either is not known.
        """  # noqa: D205
        done = sum(_samples_per_sec(rank) * rank.flops_per_sample for rank in self.ranks)
        return done / (self.peak_flops * len(self.ranks)) if self.peak_flops and done else None

    @property
    def slowest(self) -> int:
        """The rank that the others wait for: whose own work takes longest."""
        return max(range(len(self.ranks)), key=lambda rank: self.ranks[rank].own_ms)

    @property
    def lag_ms(self) -> float:
        """By how much its own work is longer than that of the others on average; 0 where it is alone."""
        others = [rank.own_ms for index, rank in enumerate(self.ranks) if index != self.slowest]
        return self.ranks[self.slowest].own_ms - mean(others) if others else 0.0

    @property
    def lags(self) -> bool:
        """Whether that is worth a word."""
        return self.lag_ms > LAG * self.step_ms

    def extremes(self, phase: str) -> tuple[float, float, int]:
        """Least and most milliseconds of a batch, and the rank that takes most."""
        values = [rank.ms(phase) for rank in self.ranks]
        return min(values), max(values), values.index(max(values))

    def memory(self) -> Iterator[tuple[str, float]]:
        """Names and bytes, of the process that takes most."""
        for name in MEMORY:
            most = max(rank.memory.get(name, 0.0) for rank in self.ranks)
            if most:
                yield name, most

    def metrics(self) -> dict[str, float]:
        """For loggers, by name."""
        found = {"time/step_ms": self.step_ms}
        for phase in PHASES:
            if phase == "sync" and len(self.ranks) == 1:
                continue
            found[f"time/{phase}_ms"] = self.ms(phase)
            if len(self.ranks) > 1:
                found[f"time/{phase}_min_ms"], found[f"time/{phase}_max_ms"], _ = self.extremes(phase)
        if len(self.ranks) > 1:
            found |= {"time/slowest_rank": self.slowest, "time/lag_ms": self.lag_ms}
        found["throughput/batches_per_sec"] = self.batches_per_sec
        found["throughput/samples_per_sec"] = self.samples_per_sec
        if self.mfu is not None:
            found["throughput/mfu"] = self.mfu
        return found | {f"memory/{name}_peak_mb": size / 1e6 for name, size in self.memory()}


def _samples_per_sec(rank: RankReport) -> float:
    return rank.times.samples / rank.times.batches * 1e3 / rank.step_ms if rank.step_ms else 0.0
