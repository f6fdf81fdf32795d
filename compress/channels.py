"""Structured pruning: whole channels removed, so that a smaller dense network remains.

Which channels must go together follows from torch-pruning's dependency graph (DepGraph, Fang et al.
2023, https://arxiv.org/abs/2301.12900); which of them matter least, from a criterion of
`lifecycle.compress.importance`, ranked over the whole network; how many, from a target that is
searched by bisection on copies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from lifecycle.compress.cost import Cost, count_cost
from lifecycle.compress.groups import History, channel_groups, ignored_layers, remove_channels_
from lifecycle.compress.importance import importance_named
from lifecycle.compress.modes import copied
from lifecycle.compress.plan import Plan, search_plan
from lifecycle.compress.quantizer import is_quantized
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError
from lifecycle.train.data import tensors
from lifecycle.train.modes import mode_of


@dataclass(frozen=True, kw_only=True)
class ChannelEdit:
    """What was removed, enough to do it again on a fresh module, and what it brought.

    Attributes:
        history: Layer, whether its output channels (else its input's), indices removed; in order.
        importance: The criterion.
        requested: Multiply-accumulates asked for, as a fraction of the module's.
        round_to: Channel counts were kept multiples of this; less than asked for where that fell short.
        ignored: Layers that were not to lose output channels, output layers included.
        before: Cost of one sample before.
        after: Cost of one sample after.
    """

    history: History
    importance: str
    requested: float
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
        """The recipe's record: plain data, the same for the same edit."""
        return {
            "edit": "prune_channels",
            "history": [[name, out, list(indices)] for name, out, indices in self.history],
            "importance": self.importance,
            "requested_macs": self.requested,
            "round_to": self.round_to,
            "ignored": list(self.ignored),
            "before": {"macs": self.before.macs, "params": self.before.params},
            "after": {"macs": self.after.macs, "params": self.after.params},
        }


def prune_channels_(
    module: nn.Module,
    example: tuple[Tensor, ...],
    *,
    macs: float,
    importance: str = "magnitude",
    round_to: int = 8,
    ignore: Sequence[str] = (),
    seed: int = 0,
) -> ChannelEdit:
    """Remove the least important channels in place, down to a fraction of the multiply-accumulates.

    The result is at most `macs` and as close below it as whole channels allow. Layers that make the
    outputs keep theirs. A layer keeps a tenth of its channels at least, and one multiple of `round_to`.
    Where multiples of `round_to` miss the target by more than a tenth of it, they are halved, until they
    do not. Most parameters are replaced by new ones: make the optimizer afterwards. Equal input, equal
    result; the global random state is left alone.

    Args:
        module: Any module that autograd can follow; not one prepared for quantization.
        example: Inputs of forward, samples along axis 0.
        macs: What may remain, as a fraction between 0 and 1.
        importance: A name of `lifecycle.compress.importance.IMPORTANCE`.
        round_to: Keep channel counts multiples of this, as kernels like them.
        ignore: Names or glob patterns of modules whose layers keep their output channels.
        seed: For ``importance="random"``.

    Raises:
        UsageError: the target is no fraction or less than what can be reached; a pattern matches
            nothing; forward fails on a pruned copy; the module is prepared for quantization already.
    """
    _check(module, macs, round_to)
    criterion = importance_named(importance)
    before = count_cost(module, example)
    trial = copied(module).requires_grad_(True)
    with mode_of(trial, training=False), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        ignored = ignored_layers(trial, example, ignore)
        groups = channel_groups(trial, example, criterion, ignored)

    def cost_of(plan: Plan) -> int:
        return _pruned_copy(module, example, plan.history)[1].macs

    plan = search_plan(groups, cost_of, total=before.macs, fraction=macs, round_to=round_to)
    pruned, after = _pruned_copy(module, example, plan.history)
    _check_outputs(module, pruned, example)
    remove_channels_(module, example, plan.history)
    return ChannelEdit(
        history=plan.history,
        importance=importance,
        requested=macs,
        round_to=plan.round_to,
        ignored=tuple(sorted(ignored)),
        before=before,
        after=after,
    )


def replay_channels(module: nn.Module, example: tuple[Tensor, ...], edit: Mapping[str, JSON]) -> None:
    """Remove the channels that an edit names from a freshly built module, in place.

    Args:
        module: Of the class and with the arguments that were pruned; its weights do not matter.
        example: Inputs of forward.
        edit: `ChannelEdit.to_json`, perhaps read back from a file.

    Raises:
        UsageError: the module has no such layers or channels: its code is not what was pruned.
    """
    rows = cast("list[tuple[str, bool, list[int]]]", edit["history"])
    remove_channels_(module, example, tuple((name, out, tuple(indices)) for name, out, indices in rows))


def _check(module: nn.Module, macs: float, round_to: int) -> None:
    if not 0 < macs < 1:
        raise UsageError(
            f"macs: expected a fraction between 0 and 1 of the multiply-accumulates, got {macs!r}"
        )
    if round_to < 1:
        raise UsageError(f"round_to: expected a whole number from 1, got {round_to!r}")
    if is_quantized(module):
        raise UsageError("a module prepared for quantization cannot be pruned: prune first, then quantize")


def _pruned_copy(module: nn.Module, example: tuple[Tensor, ...], history: History) -> tuple[nn.Module, Cost]:
    pruned = copied(module)
    remove_channels_(pruned, example, history)
    try:
        return pruned, count_cost(pruned, example)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise UsageError(
            f"forward of {type(module).__name__} fails once channels are removed: {error}",
            hint="a size written into forward (view(-1, 64)) does not follow: use flatten(1) or x.shape, "
            "or name the layer before it in `ignore`",
        ) from error


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
