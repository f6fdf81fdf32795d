"""Which layers hurt: the accuracy lost when only one of them is pruned, or only one is rounded to INT8."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lifecycle.compress.channel_edit import Ranking
from lifecycle.compress.cost import count_cost
from lifecycle.compress.evidence import gather_evidence_
from lifecycle.compress.groups import ChannelGroup, channel_groups, ignored_layers, remove_channels_
from lifecycle.compress.importance import importance_named
from lifecycle.compress.modes import copied
from lifecycle.compress.outputs import LAYERS
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError
from lifecycle.train.modes import mode_of

Measure = Callable[[nn.Module], float]


@dataclass(frozen=True, kw_only=True)
class LayerEffect:
    """What happened when one layer was changed.

    Attributes:
        layer: Its name.
        change: ``prune`` or ``quantize``.
        metric: The metric with that change alone.
        drop: How much worse that is than without it.
        macs: Multiply-accumulates that remain with it, as a fraction of all.
    """

    layer: str
    change: Literal["prune", "quantize"]
    metric: float
    drop: float
    macs: float

    def to_json(self) -> dict[str, JSON]:
        """Plain data."""
        return {
            "layer": self.layer,
            "change": self.change,
            "metric": self.metric,
            "drop": self.drop,
            "macs": self.macs,
        }


def prune_sensitivity(
    module: nn.Module,
    example: tuple[Tensor, ...],
    measure: Measure,
    *,
    keep: float = 0.5,
    mode: Literal["max", "min"] = "max",
    ranking: Ranking | None = None,
) -> list[LayerEffect]:
    """Prune one group of channels after another on copies, without fine-tuning; the most harmful first.

    Args:
        module: Left as it is.
        example: Inputs of forward.
        measure: Gives the metric of a module.
        keep: The fraction of the group's channels that stays.
        mode: Whether more or less of the metric is better.
        ranking: How channels are chosen; scope, steps and rounding are of no use here.

    Raises:
        UsageError: `keep` is no fraction, or `ranking` is wrong.
    """
    if not 0 < keep < 1:
        raise UsageError(f"keep: expected a fraction between 0 and 1 of a layer's channels, got {keep!r}")
    before, cost = measure(module), count_cost(module, example)
    effects = []
    for group in _groups(module, example, ranking or Ranking()):
        pruned = copied(module)
        count = len(group.units) - max(1, round(keep * len(group.units)))
        remove_channels_(pruned, example, ((group.layer, True, group.removed(count)),))
        metric = measure(pruned)
        effects.append(
            LayerEffect(
                layer=group.layer,
                change="prune",
                metric=metric,
                drop=_drop(before, metric, mode),
                macs=count_cost(pruned, example).macs / cost.macs,
            )
        )
    return sorted(effects, key=lambda effect: -effect.drop)


def quantize_sensitivity(
    module: nn.Module, measure: Measure, *, mode: Literal["max", "min"] = "max"
) -> list[LayerEffect]:
    """Round one layer after another to INT8: its weights per channel, its inputs per tensor.

    The inputs' range is that of each batch, so no calibration is in between: what is seen is the layer.

    Args:
        module: Left as it is.
        measure: Gives the metric of a module.
        mode: Whether more or less of the metric is better.
    """
    before = measure(module)
    effects = []
    for name, part in module.named_modules():
        if not isinstance(part, LAYERS):
            continue
        trial = copied(module)
        with _rounded(trial.get_submodule(name)):
            metric = measure(trial)
        drop = _drop(before, metric, mode)
        effects.append(LayerEffect(layer=name, change="quantize", metric=metric, drop=drop, macs=1.0))
    return sorted(effects, key=lambda effect: -effect.drop)


def _drop(before: float, after: float, mode: str) -> float:
    return before - after if mode == "max" else after - before


def _groups(module: nn.Module, example: tuple[Tensor, ...], ranking: Ranking) -> Sequence[ChannelGroup]:
    trial = copied(module).requires_grad_(True)
    with mode_of(trial, training=False), torch.random.fork_rng(devices=[]):
        torch.manual_seed(ranking.seed)
        score = ranking.importance
        if isinstance(score, str):
            criterion = importance_named(score)
            if criterion.evidence is not None and ranking.losses is not None:
                gather_evidence_(trial, ranking.losses, criterion.evidence)
            score = criterion.make()
        return channel_groups(trial, example, score, ignored_layers(trial, example, ranking.ignore))


@contextmanager
def _rounded(layer: Any) -> Iterator[None]:
    """A layer of a copy, as INT8 arithmetic sees it."""
    axis = 1 if getattr(layer, "transposed", False) else 0
    with torch.no_grad():
        weight = layer.weight
        others = [each for each in range(weight.ndim) if each != axis]
        step = (weight.abs().amax(dim=others, keepdim=True) / 127).clamp_min(1e-12)
        weight.copy_((weight / step).round().clamp(-127, 127) * step)

    def round_input(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = inputs[0]
        low, high = x.amin().clamp_max(0), x.amax().clamp_min(0)
        step = ((high - low) / 255).clamp_min(1e-12)
        zero = (-low / step).round()
        return (((x / step + zero).round().clamp(0, 255) - zero) * step, *inputs[1:])

    handle = layer.register_forward_pre_hook(round_input)
    try:
        yield
    finally:
        handle.remove()
