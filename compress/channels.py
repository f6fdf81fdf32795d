"""Structured pruning: whole channels removed, so that a smaller dense network remains.

Which channels must go together follows from torch-pruning's dependency graph (DepGraph, Fang et al.
2023, https://arxiv.org/abs/2301.12900); which of them matter least, from a criterion of
`lifecycle.compress.importance`; how many, from a target that is searched by bisection on copies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from lifecycle.compress.branches import check_branches
from lifecycle.compress.channel_edit import ChannelEdit, Latency, Ranking, Scope
from lifecycle.compress.cost import count_cost
from lifecycle.compress.evidence import Losses, gather_evidence_
from lifecycle.compress.groups import (
    ChannelGroup,
    History,
    channel_groups,
    forward_fails,
    ignored_layers,
    ranked,
    remove_channels_,
    told_apart,
)
from lifecycle.compress.importance import Importance, importance_named, name_of, no_scores
from lifecycle.compress.modes import copied
from lifecycle.compress.plan import Plan, search_plan
from lifecycle.compress.quantizer import is_quantized
from lifecycle.compress.target import Target
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError
from lifecycle.train.data import tensors
from lifecycle.train.modes import mode_of


def prune_channels_(
    module: nn.Module,
    example: tuple[Tensor, ...],
    target: Target | None = None,
    *,
    macs: float | None = None,
    params: float | None = None,
    channels: float | None = None,
    latency_ms: float | None = None,
    importance: str | Importance = "magnitude",
    scope: Scope = "global",
    round_to: int = 8,
    ignore: Sequence[str] = (),
    steps: int = 1,
    seed: int = 0,
    losses: Losses | None = None,
    latency: Latency | None = None,
) -> ChannelEdit:
    """Remove the least important channels in place, down to a target.

    The result is at most the target and as close below it as whole channels allow. Layers that make the
    outputs keep theirs; attention loses whole heads, grouped convolutions as many in each group. A layer
    keeps a tenth of its channels at least, and one multiple of `round_to`. Where multiples of `round_to` miss
    the target by more than a tenth of it, they are halved, until they do not. Most parameters are replaced by
    new ones: make the optimizer afterwards. Equal input, equal result (but for latencies, which the clock
    gives); the global random state is left alone.

    Args:
        module: Any module that autograd can follow; not one prepared for quantization.
        example: Inputs of forward, samples along axis 0.
        target: Or one of the next four.
        macs: As `Target` says.
        params: As `Target` says.
        channels: As `Target` says.
        latency_ms: As `Target` says; needs `latency`.
        importance: As `Ranking` says, and so on down to `losses`.
        scope: See there.
        round_to: See there.
        ignore: See there.
        steps: See there.
        seed: See there.
        losses: See there.
        latency: Measures a module in evaluation mode, in milliseconds.

    Raises:
        UsageError: there is not exactly one target; it is no fraction, less than what can be reached, or met
            already; a pattern matches nothing; forward branches on data, or fails on a pruned copy; the
            module is prepared for quantization already.
    """
    target = target or Target(macs=macs, params=params, channels=channels, latency_ms=latency_ms)
    ranking = Ranking(
        importance=importance,
        scope=scope,
        round_to=round_to,
        ignore=ignore,
        steps=steps,
        seed=seed,
        losses=losses,
    )
    if is_quantized(module):
        raise UsageError("a module prepared for quantization cannot be pruned: prune first, then quantize")
    if target.name == "latency_ms" and latency is None:
        raise UsageError("latency_ms: pass latency, a function that measures a module in milliseconds")
    check_branches(module, example)
    search = _Search(module=module, example=example, target=target, ranking=ranking, latency=latency)
    edit = search.run()
    remove_channels_(module, example, edit.history)
    return edit


def replay_channels(module: nn.Module, example: tuple[Tensor, ...], edit: Mapping[str, JSON]) -> None:
    """Remove the channels that an edit names from a freshly built module, in place.

    Args:
        module: Of the class and with the arguments that were pruned; its weights do not matter.
        example: Inputs of forward.
        edit: `ChannelEdit.to_json`, perhaps read back from a file.

    Raises:
        UsageError: the module has no such layers or channels: its code is not what was pruned; or it is
            prepared for quantization already.
    """
    if is_quantized(module):
        raise UsageError(
            "the recipe prunes a module that it has prepared for quantization: "
            "the order is prune, then quantize"
        )
    rows = cast("list[tuple[str, bool, list[int]]]", edit["history"])
    remove_channels_(module, example, tuple((name, out, tuple(indices)) for name, out, indices in rows))


@dataclass(kw_only=True)
class _Search:
    """One call of `prune_channels_`: works on copies of `module` alone."""

    module: nn.Module
    example: tuple[Tensor, ...]
    target: Target
    ranking: Ranking
    latency: Latency | None
    full: dict[str, int] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()

    def run(self) -> ChannelEdit:
        self.before = count_cost(self.module, self.example)
        start = self._start()
        work, history, plan = self.module, cast("History", ()), Plan(history=(), round_to=0)
        for value in self.target.steps(self.ranking.steps, start):
            groups = self._groups(work)
            plan = search_plan(
                groups,
                lambda plan, work=work, groups=groups: self._cost(work, groups, plan),  # type: ignore[misc]
                self.target.at(value),
                round_to=self.ranking.round_to,
            )
            achieved = self._cost(work, groups, plan)
            work, history = self._pruned(work, plan.history), (*history, *plan.history)
        _check_outputs(self.module, self._pruned(self.module, history), self.example)
        return ChannelEdit(
            history=history,
            target=self.target,
            achieved=achieved,
            importance=name_of(self.ranking.importance),
            scope=self.ranking.scope,
            round_to=plan.round_to,
            ignored=self.ignored,
            before=self.before,
            after=count_cost(work, self.example),
        )

    def _start(self) -> float:
        if self.latency is None or self.target.name != "latency_ms":
            return 1.0
        start = self.latency(self.module)
        if start <= self.target.value:
            raise UsageError(
                f"latency_ms: the module takes {start:.4g} ms, "
                f"which is within {self.target.value:g} ms already",
                hint="ask for less, or leave it as it is",
            )
        return start

    def _groups(self, work: nn.Module) -> list[ChannelGroup]:
        """What may go, ranked on a copy."""
        ranking = self.ranking
        trial = copied(work).requires_grad_(True)
        with mode_of(trial, training=False), torch.random.fork_rng(devices=[]):
            torch.manual_seed(ranking.seed)
            self.ignored = tuple(ignored_layers(trial, self.example, ranking.ignore))
            score = ranking.importance
            if isinstance(score, str):
                criterion = importance_named(score)
                if criterion.evidence is not None:
                    assert ranking.losses is not None
                    gather_evidence_(trial, ranking.losses, criterion.evidence)
                score = criterion.make()
            groups = channel_groups(trial, self.example, score, self.ignored, self.full)
        if not groups:
            raise no_scores(self.module, ranking.importance)
        self.full = {group.layer: group.full for group in groups}
        return ranked(groups) if ranking.scope == "local" else told_apart(groups)

    def _cost(self, work: nn.Module, groups: Sequence[ChannelGroup], plan: Plan) -> float:
        """What is left under a plan, in the target's unit."""
        if self.target.name == "channels":
            removed = sum(len(indices) for _, _, indices in plan.history)
            there = sum(len(group.units) * group.size for group in groups)
            return (there - removed) / sum(group.full * group.size for group in groups)
        pruned = self._pruned(work, plan.history)
        if self.latency is not None and self.target.name == "latency_ms":
            with mode_of(pruned, training=False):
                return self.latency(pruned)
        after, name = count_cost(pruned, self.example), self.target.name
        return float(getattr(after, name) / getattr(self.before, name))

    def _pruned(self, work: nn.Module, history: History) -> nn.Module:
        pruned = copied(work)
        remove_channels_(pruned, self.example, history)
        try:
            count_cost(pruned, self.example)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise forward_fails(self.module, error) from error
        return pruned


def _check_outputs(module: nn.Module, pruned: nn.Module, example: tuple[Tensor, ...]) -> None:
    shapes = []
    for each in (module, pruned):
        with mode_of(each, training=False), torch.no_grad():
            shapes.append([tuple(tensor.shape) for tensor in tensors(each(*example))])
    if shapes[0] != shapes[1]:
        raise UsageError(
            f"pruning {type(module).__name__} would change its outputs from {shapes[0]} to {shapes[1]}",
            hint="name the layers that make the outputs in `ignore`",
        )
