"""What a trainer saves, and goes on from: checkpoints, and what a verb leaves behind in another process."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.train.checkpoint import lies_in_several, load_ckpt, snapshot
from lifecycle.train.ckpt_path import chosen_checkpoint
from lifecycle.train.module import Module
from lifecycle.train.restoring import restore_callbacks, restore_module
from lifecycle.train.trainer_services import TrainerServices

if TYPE_CHECKING:
    from lifecycle.train.trainer import Trainer

log = logging.getLogger(__name__)


class TrainerCheckpoints(TrainerServices):
    """The part of a trainer that saves the state of a fit, and takes it back."""

    def _content(self, ckpt_path: str | Path | None) -> dict[str, object] | None:
        """What a checkpoint holds: of a path, of the best or of the last one."""
        path = self.strategy.broadcast(str(chosen_checkpoint(ckpt_path, self._whole) or ""))
        if not path:
            return None
        self.ckpt_path = path
        return load_ckpt(Path(path), lazy=self.strategy.sharded)

    def save_checkpoint(
        self,
        filepath: str | Path,
        weights_only: bool | None = None,
        storage_options: object = None,
        *,
        wait: bool = True,
        removes: Sequence[Path] = (),
        link: Path | None = None,
    ) -> None:
        """Write the state of the fit at work, or of the last one, as a ``.ckpt``.

        All processes call it, and the first one writes; or all do, what each has (`FSDPStrategy`).

        Args:
            filepath: Where.
            weights_only: Leave out what only a resumed fit needs.
            storage_options: Not used.
            wait: Return when the file is there; otherwise it is written beside training.
            removes: Older files that are removed once it is there.
            link: A link that is then made to lead to it.
        """
        if self.strategy.sharded and self.strategy.abandoned:
            raise LifecycleError(
                f"{filepath} is not written: the state lies in several processes, and this one has failed"
            )
        with self.profiler.profile("save_checkpoint"):
            content = self.dump_checkpoint(weights_only=bool(weights_only))
            group = self.strategy.together
            if group is None and not self.is_global_zero:
                return
            self.writer.save(Path(filepath), content, removes=removes, link=link, wait=wait, group=group)

    def _save_interrupted(self) -> None:
        """Save before an interrupted fit ends, if it saves at all."""
        if (
            self._stage != "sanity_check"
            and self._fitting is not None
            and self.checkpoint_callback is not None
        ):
            folder = Path(self.checkpoint_callback.dirpath or self.default_root_dir)
            if not self.interrupts.together:
                # The others are at another batch: the first process saves what it has, if that is whole.
                self.strategy.abandon()
                if self.strategy.sharded or lies_in_several(self._module, self._progress):
                    log.warning(
                        "interrupted: the newest checkpoint stays, as this state lies in several processes"
                    )
                    return
            self.save_checkpoint(folder / "interrupted.ckpt")
            self.strategy.barrier("saved")  # who ends before it is written has the others ended

    def dump_checkpoint(self, *, weights_only: bool = False) -> dict[str, object]:
        """What `save_checkpoint` writes."""
        module = self._given_or_last(None)
        if self._fitting is not None:
            self._fitting.check_losses()
        content = snapshot(
            module,
            self._progress,
            self.callbacks,
            self.datamodule,
            weights_only=weights_only,
            strategy=self.strategy,
        )
        if not weights_only:
            for callback in self.callbacks:
                callback.on_save_checkpoint(self._whole, module, content)
        module.on_save_checkpoint(content)
        return content

    def restore(self, content: dict[str, Any]) -> None:
        """Give module, data and callbacks what a checkpoint holds for them, when they are set up.

        They may change it first: rename weights of an older version, say.
        """
        module = self._given_or_last(None)
        module.on_load_checkpoint(content)
        restore_module(content, module, strategy=self.strategy)
        if self.datamodule is not None:
            key = type(self.datamodule).__qualname__
            if key in content:
                self.datamodule.load_state_dict(content[key])
        for callback in self.callbacks:
            callback.on_load_checkpoint(self._whole, module, content)
        restore_callbacks(content, self.callbacks)

    # What a verb leaves behind in another process

    def hand_over(self, result: object) -> dict[str, object]:
        """What a verb that ran in another process leaves behind, as plain values and tensors."""
        module = self._given_or_last(None)
        return {
            "weights": self.strategy.state_dict(module),
            "result": result,
            "state": self._progress.state.state_dict(),
            "results": self._progress.results.state_dict(),
            "callbacks": {c.state_key: found for c in self.callbacks if (found := c.state_dict())},
        }

    def take_over(self, module: Module, left: Mapping[str, Any]) -> None:
        """Be as the trainer whose `hand_over` gave this, with a module that is as it was there."""
        self._module = module
        self._progress.state.load_state_dict(dict(left["state"]))
        self._progress.results.load_state_dict(left["results"])
        for callback in self.callbacks:
            callback.take_over(module, left["callbacks"].get(callback.state_key, {}))
        module.load_state_dict(left["weights"])

    # Which module

    def _given_or_last(self, model: Module | None) -> Module:
        module = self._module if model is None else model
        if module is None:
            raise UsageError("there is no module yet: pass one, or fit one first")
        return module

    @property
    def _whole(self) -> Trainer:
        """This trainer, of which callbacks see all."""
        return cast("Trainer", self)
