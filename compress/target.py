"""How small the module is to become, in the words that people use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from lifecycle.core.errors import UsageError

WORDS = {
    "macs": "of the multiply-accumulates",
    "params": "of the parameters",
    "channels": "of the channels",
    "latency_ms": "ms",
}


@dataclass(frozen=True, kw_only=True)
class Target:
    """Exactly one of these.

    Attributes:
        macs: Multiply-accumulates of one sample that may remain, as a fraction.
        params: Parameters that may remain, as a fraction.
        channels: Output channels of the layers that may lose any, as a fraction of theirs.
        latency_ms: Latency that may remain, absolute, as measured by the function that is passed in.
    """

    macs: float | None = None
    params: float | None = None
    channels: float | None = None
    latency_ms: float | None = None

    def __post_init__(self) -> None:
        given = [field.name for field in fields(self) if getattr(self, field.name) is not None]
        if len(given) != 1:
            raise UsageError(
                f"expected one target of {', '.join(WORDS)}; got {', '.join(given) if given else 'none'}"
            )
        if self.name == "latency_ms":
            if self.value <= 0:
                raise UsageError(f"latency_ms: expected milliseconds above 0, got {self.value!r}")
        elif not 0 < self.value < 1:
            raise UsageError(
                f"{self.name}: expected a fraction between 0 and 1 {WORDS[self.name]}, got {self.value!r}"
            )

    @property
    def name(self) -> str:
        """Which one."""
        return next(field.name for field in fields(self) if getattr(self, field.name) is not None)

    @property
    def value(self) -> float:
        """What was asked for."""
        return float(getattr(self, self.name))

    def at(self, value: float) -> Target:
        """The same kind of target, elsewhere."""
        return Target(**{self.name: value})

    def steps(self, count: int, start: float = 1.0) -> Sequence[float]:
        """Values on the way from `start`, each the same part of the one before it.

        >>> [round(value, 3) for value in Target(macs=0.25).steps(2)]
        [0.5, 0.25]
        """
        ratio = self.value / start
        return [*(start * ratio ** (step / count) for step in range(1, count)), self.value]
