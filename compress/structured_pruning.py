"""`StructuredPruning`: channels removed before a fit or in rounds during it, and again when it is resumed."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn

from lifecycle.compress.channel_edit import ChannelEdit, Ranking, Scope
from lifecycle.compress.channels import prune_channels_, replay_channels
from lifecycle.compress.evidence import Losses
from lifecycle.compress.importance import Importance, importance_named
from lifecycle.compress.latency import eager_latency_ms
from lifecycle.compress.modes import copied
from lifecycle.compress.optimizers import prune_with_optimizers_
from lifecycle.compress.target import Target
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.checkpoint import load_ckpt
from lifecycle.train.describe import example_inputs

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer


class StructuredPruning(Callback):
    """Remove channels before a fit, or in rounds during it; the fit trains what is left.

    The first round happens in `setup`: the optimizer is made afterwards and knows only the new parameters.
    Later rounds happen between two optimizer steps, and the optimizer's moments are pruned with their
    weights. What was removed is kept in every checkpoint, so that a fit goes on from it to the bit, and
    ``trainer.test(ckpt_path=…)`` fits it into a freshly made module.

    Args:
        macs: As `lifecycle.compress.target.Target` says: exactly one of these four.
        params: As there.
        channels: As there.
        latency_ms: As there.
        importance: As `lifecycle.compress.channels.Ranking` says, down to `seed`.
        scope: As there.
        round_to: As there.
        ignore: As there.
        steps: In how many rounds; the channels are ranked anew in each.
        every_n_steps: Optimizer steps from one round to the next; None has all rounds before the fit.
        seed: As there.
        batches: For a criterion that looks at data: batches of ``training_step``; by default from the
            DataModule's ``train_dataloader``.
        num_batches: How many of them to look at.
        latency: Measures a module, in milliseconds; by default PyTorch's own time at batch 1.

    Attributes:
        edit: What the last round of this process removed; None before it.
        edits: The recipe's records of all rounds, those before a resume included.
    """

    def __init__(
        self,
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
        every_n_steps: int | None = None,
        seed: int = 0,
        batches: Iterable[Any] | None = None,
        num_batches: int = 8,
        latency: Callable[[nn.Module], float] | None = None,
    ) -> None:
        self.target = Target(macs=macs, params=params, channels=channels, latency_ms=latency_ms)
        if every_n_steps is not None and every_n_steps < 1:
            raise UsageError(f"every_n_steps: expected a whole number from 1, got {every_n_steps!r}")
        self.options: dict[str, Any] = {
            "importance": importance,
            "scope": scope,
            "round_to": round_to,
            "ignore": tuple(ignore),
            "seed": seed,
        }
        Ranking(**self.options, steps=steps, losses=lambda module: [])  # says now what is wrong with them
        self.steps = steps
        self.every_n_steps = every_n_steps
        self.batches = batches
        self.num_batches = num_batches
        self.latency = latency
        self.edit: ChannelEdit | None = None
        self.edits: list[dict[str, JSON]] = []
        self._module: weakref.ref[nn.Module] | None = None
        self._rounds = 0
        self._achieved = 1.0
        self._start = 1.0

    def state_dict(self) -> dict[str, object]:
        """What was removed so far."""
        if not self.edits:
            return {}
        return {
            "edits": self.edits,
            "rounds": self._rounds,
            "achieved": self._achieved,
            "start": self._start,
        }

    def load_state_dict(self, state_dict: Mapping[str, object]) -> None:
        """Take up where the checkpoint stood; `setup` has replayed its edits already."""
        self.edits = list(cast("list[dict[str, JSON]]", state_dict["edits"]))
        self._rounds = int(cast("int", state_dict["rounds"]))
        self._achieved = float(cast("float", state_dict["achieved"]))
        self._start = float(cast("float", state_dict["start"]))

    def take_over(self, pl_module: Module, state_dict: Mapping[str, object]) -> None:
        """Remove here what was removed in the processes that fitted."""
        self._belong_to(pl_module)
        edits = cast("list[dict[str, JSON]]", state_dict.get("edits", []))
        for edit in edits[len(self.edits) :]:
            replay_channels(pl_module, example_inputs(pl_module), edit)
        super().take_over(pl_module, state_dict)

    def __getstate__(self) -> dict[str, object]:
        """Processes that are spawned are given the module too, and know it again."""
        return {**vars(self), "_module": None if self._module is None else self._module()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._module = None if state["_module"] is None else weakref.ref(state["_module"])

    def _belong_to(self, module: Module) -> None:
        if self._module is None or self._module() is not module:
            self.edit, self.edits, self._rounds, self._achieved = None, [], 0, 1.0
            self._module = weakref.ref(module)

    def setup(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """Replay what a checkpoint tells of, or begin to prune."""
        self._belong_to(pl_module)
        if trainer.ckpt_path:
            self._replay(trainer, pl_module, Path(trainer.ckpt_path), stage)
        if stage != "fit" or self.edits:
            return
        count = self.steps if self.every_n_steps is None else 1
        for _ in range(count):
            self._prune(trainer, pl_module)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: Module, batch: object, batch_idx: int
    ) -> None:
        """Prune once more when it is due."""
        if self.every_n_steps is None or self._rounds >= self.steps:
            return
        if trainer.global_step >= self._rounds * self.every_n_steps:
            self._prune(trainer, pl_module, trainer.optimizers)

    def _replay(self, trainer: Trainer, module: Module, path: Path, stage: str) -> None:
        states = cast("Mapping[str, Any]", load_ckpt(path).get("callbacks", {}))
        saved = states.get(self.state_key, {}).get("edits", [])
        if not saved and stage == "fit" and not self.edits:
            raise UsageError(
                f"{path} was saved without StructuredPruning: a fit with it cannot go on from there",
                hint="read its weights with load_from_checkpoint, and fit without ckpt_path",
            )
        if self.edits != saved[: len(self.edits)]:
            raise UsageError(
                f"{path} tells of other channels than were removed from this module; make it anew"
            )
        for edit in saved[len(self.edits) :]:
            replay_channels(module, example_inputs(module), edit)
        self.edits = [*self.edits, *saved[len(self.edits) :]]

    def _prune(self, trainer: Trainer, module: Module, optimizers: Sequence[Any] | None = None) -> None:
        """One round: on a copy first, so that optimizers can follow."""
        example = example_inputs(module)
        if module.device.type != "cpu":
            example = tuple(tensor.to(module.device) for tensor in example)
        latency = self.latency or (lambda pruned: eager_latency_ms(pruned, example))
        if not self._rounds:
            self._start = latency(module) if self.target.name == "latency_ms" else 1.0
        value = self.target.steps(self.steps, self._start)[self._rounds]
        self._rounds += 1
        absolute = self.target.name == "latency_ms"
        if not absolute and value >= self._achieved:
            return  # the round before went as far
        edit = prune_channels_(
            copied(module),
            example,
            self.target.at(value if absolute else value / self._achieved),
            **self.options,
            losses=self._losses(trainer),
            latency=latency if absolute else None,
        )
        prune_with_optimizers_(module, example, edit.history, optimizers or ())
        self._achieved = edit.achieved if absolute else edit.achieved * self._achieved
        self.edit = edit
        self.edits = [*self.edits, edit.to_json()]

    def _losses(self, trainer: Trainer) -> Losses | None:
        importance = self.options["importance"]
        if not isinstance(importance, str) or importance_named(importance).evidence is None:
            return None
        batches = self.batches
        if batches is None and trainer.datamodule is not None:
            batches = trainer.datamodule.train_dataloader()
        if batches is None:
            raise UsageError(
                f"importance '{importance}' looks at data: pass StructuredPruning(batches=…), batches of "
                "training_step, or fit with a DataModule"
            )
        return training_losses(batches, self.num_batches)

    @property
    def achieved(self) -> float:
        """What is left in the target's unit."""
        return self._achieved


def training_losses(batches: Iterable[Any], count: int) -> Losses:
    """What gives the loss of ``training_step`` for the first `count` batches; what it logs goes nowhere."""

    def losses(module: nn.Module) -> Iterator[Tensor]:
        own = vars(module)
        own.pop("training_step", None)  # a teacher's part in it, which the copy has from the module at work
        own["log"] = own["log_dict"] = lambda *args, **kwargs: None
        for index, batch in enumerate(islice(batches, count)):
            found = module.training_step(batch, index)  # type: ignore[operator]
            yield found["loss"] if isinstance(found, Mapping) else found

    return losses
