"""How channels are chosen, and the record of what was removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from lifecycle.compress.cost import Cost
from lifecycle.compress.evidence import Losses
from lifecycle.compress.groups import History
from lifecycle.compress.importance import Importance, importance_named
from lifecycle.compress.target import Target
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError

Scope = Literal["global", "local"]
Latency = Callable[[nn.Module], float]


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """How channels are chosen.

    Attributes:
        importance: A name of `lifecycle.compress.importance.IMPORTANCE`, or a function like those.
        scope: ``global`` ranks the channels of all layers together; ``local`` takes the same part of each.
        round_to: Keep channel counts multiples of this, as kernels like them.
        ignore: Names or glob patterns of modules whose layers keep their output channels.
        steps: Rank anew after each of so many equal parts of the way.
        seed: For ``importance="random"``.
        losses: For criteria that look at data: runs a module on it.
    """

    importance: str | Importance = "magnitude"
    scope: Scope = "global"
    round_to: int = 8
    ignore: Sequence[str] = ()
    steps: int = 1
    seed: int = 0
    losses: Losses | None = None

    def __post_init__(self) -> None:
        if self.round_to < 1:
            raise UsageError(f"round_to: expected a whole number from 1, got {self.round_to!r}")
        if self.steps < 1:
            raise UsageError(f"steps: expected a whole number from 1, got {self.steps!r}")
        if self.scope not in ("global", "local"):
            raise UsageError(f"scope: expected global or local, got {self.scope!r}")
        if isinstance(self.importance, str):
            criterion = importance_named(self.importance)
            if criterion.evidence is not None and self.losses is None:
                raise UsageError(
                    f"importance '{self.importance}' looks at {criterion.evidence}: pass losses, a function "
                    "that runs a module on data and gives the loss of each batch"
                )


@dataclass(frozen=True, kw_only=True)
class ChannelEdit:
    """What was removed, enough to do it again on a fresh module, and what it brought.

    Attributes:
        history: Layer, whether its output channels (else its input's), indices removed; in order.
        target: What was asked for.
        achieved: What there is, in the target's unit.
        importance: The criterion.
        scope: Whether layers were ranked together.
        round_to: Channel counts were kept multiples of this; less than asked for where that fell short.
        ignored: Layers that were not to lose output channels, output layers included.
        before: Cost of one sample before.
        after: Cost of one sample after.
    """

    history: History
    target: Target
    achieved: float
    importance: str
    scope: str
    round_to: int
    ignored: tuple[str, ...]
    before: Cost
    after: Cost

    @property
    def macs(self) -> float:
        """Multiply-accumulates that remain, as a fraction."""
        return self.after.macs / self.before.macs

    @property
    def params(self) -> float:
        """Parameters that remain, as a fraction."""
        return self.after.params / self.before.params

    def to_json(self) -> dict[str, JSON]:
        """The recipe's record: plain data, the same for the same edit (a latency stays out of it)."""
        return {
            "edit": "prune_channels",
            "history": [[name, out, list(indices)] for name, out, indices in self.history],
            "importance": self.importance,
            "scope": self.scope,
            "target": {self.target.name: self.target.value},
            "round_to": self.round_to,
            "ignored": list(self.ignored),
            "before": {"macs": self.before.macs, "params": self.before.params},
            "after": {"macs": self.after.macs, "params": self.after.params},
        }
