"""What checkpoints are called, and how they are written; `ModelCheckpoint` says when they are saved."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from lifecycle.train.callbacks.checkpoint_metrics import named_values
from lifecycle.train.callbacks.checkpoint_name import checkpoint_name
from lifecycle.train.callbacks.checkpoint_ranks import CheckpointRanks

if TYPE_CHECKING:
    from lifecycle.train.trainer import Trainer

_log = logging.getLogger("lifecycle.train.callbacks.model_checkpoint")


class CheckpointFiles(CheckpointRanks):
    """Names files, writes them, and removes those that give way.

    The arguments are those of `ModelCheckpoint`, which says when there is something to keep.
    """

    CHECKPOINT_JOIN_CHAR = "-"
    CHECKPOINT_EQUALS_CHAR = "="
    CHECKPOINT_NAME_LAST = "last"
    FILE_EXTENSION = ".ckpt"
    STARTING_VERSION = 1

    def __init__(
        self,
        *,
        filename: str | None,
        monitor: str | None,
        mode: str,
        save_top_k: int,
        save_last: bool | Literal["link"] | None,
        save_weights_only: bool,
        auto_insert_metric_name: bool,
        enable_version_counter: bool,
        verbose: bool,
    ) -> None:
        super().__init__(monitor=monitor, mode=mode, save_top_k=save_top_k)
        self.filename = filename
        self.save_last = save_last
        self.save_weights_only = save_weights_only
        self.auto_insert_metric_name = auto_insert_metric_name
        self._enable_version_counter = enable_version_counter
        self.verbose = verbose
        self._in_flight: tuple[Path, dict[str, Any]] | None = None  # and what holds again if it fails
        self._told = False  # the other processes, in this decision

    # Names

    def format_checkpoint_name(
        self,
        metrics: Mapping[str, Any],
        filename: str | None = None,
        ver: int | None = None,
        prefix: str | None = None,
    ) -> str:
        """The path of a checkpoint: the template filled in; a metric that is missing is 0.

        Args:
            metrics: Values by name, ``epoch`` and ``step`` among them.
            filename: A template in place of the callback's own.
            ver: A version to append.
            prefix: What the name begins with.
        """
        join = self.CHECKPOINT_JOIN_CHAR
        name = checkpoint_name(
            filename or self.filename or f"{{epoch}}{join}{{step}}",
            metrics,
            equals=self.CHECKPOINT_EQUALS_CHAR,
            insert_names=self.auto_insert_metric_name,
        )
        parts = [*([] if prefix is None else [prefix]), name, *([] if ver is None else [f"v{ver}"])]
        return os.path.join(self.dirpath or "", join.join(parts) + self.FILE_EXTENSION)

    def file_exists(self, filepath: str | Path, trainer: Trainer) -> bool:
        """Whether a file has this name, or will have it: one that is being written counts."""
        return trainer.writer.writing(Path(filepath)) or os.path.exists(filepath)

    def _new_path(
        self,
        trainer: Trainer,
        metrics: Mapping[str, Any],
        *,
        filename: str | None = None,
        free: str = "",
        count: bool | None = None,
    ) -> str:
        """A path that no file has; `free` may be used although a file has it."""
        path, version = self.format_checkpoint_name(metrics, filename), self.STARTING_VERSION
        while (self._enable_version_counter if count is None else count) and path != free:
            if not self.file_exists(path, trainer):
                break
            path, version = self.format_checkpoint_name(metrics, filename, version), version + 1
        return path

    # Choosing

    def _chosen(self, trainer: Trainer, value: Tensor | None) -> tuple[str, list[Path]]:
        """The file to save, ``""`` for none, and those that give way to it."""
        metrics = named_values(trainer)
        if value is None:
            old = self.best_model_path if self.save_top_k == 1 else ""
            self.best_model_path = self._new_path(trainer, metrics, free=old)
            return self.best_model_path, self._removable(trainer, old, self.best_model_path)
        score = value.detach().cpu()
        at = f"epoch {metrics['epoch']}, step {metrics['step']}: {self.monitor} = {score.item():.5g}"
        if not self.check_monitor_top_k(trainer, score):
            if self.verbose:
                _log.info("%s is not among the best %d", at, self.save_top_k)
            return "", []
        path, worst = self._rank(trainer, metrics, score)
        if self.verbose:
            _log.info("%s, saving %s; the best is %s", at, path, self.best_model_path)
        return path, self._removable(trainer, worst, path)

    def _rank(self, trainer: Trainer, metrics: Mapping[str, Any], score: Tensor) -> tuple[str, str]:
        """Take a file among the best: its path, and that of the file which gives way (or ``""``)."""
        full = 0 < self.save_top_k == len(self.best_k_models)
        worst = self.kth_best_model_path if full else ""
        self.best_k_models.pop(worst, None)
        if score.isnan():
            score = torch.full_like(score, torch.inf if self.mode == "min" else -torch.inf)
        path = self._new_path(trainer, metrics, free=worst)
        self.best_k_models[path] = self.current_score = score
        scores, best_of, worst_of = self.best_k_models, min, max
        if self.mode == "max":
            best_of, worst_of = worst_of, best_of
        self.best_model_path = best_of(scores, key=scores.__getitem__)  # of equal ones the first
        self.best_model_score = scores[self.best_model_path]
        if self.save_top_k in (-1, len(scores)):
            self.kth_best_model_path = worst_of(scores, key=scores.__getitem__)
            self.kth_value = scores[self.kth_best_model_path]
        return path, worst

    def _removable(self, trainer: Trainer, old: str, new: str) -> list[Path]:
        """The old file, if it may go: it is ours, and not what the fit was resumed from."""
        if not old or old == new:
            return []
        resumed_from = None if trainer.ckpt_path is None else Path(trainer.ckpt_path).resolve()
        ours = Path(self.dirpath or "") in Path(old).parents
        return [Path(old)] if ours and Path(old).resolve() != resumed_from else []

    # Writing

    def _write(
        self,
        trainer: Trainer,
        metrics: Mapping[str, Any],
        path: str = "",
        removes: Sequence[Path] = (),
        *,
        last: bool,
        before: dict[str, Any] | None = None,
    ) -> None:
        """Save a file, ``last.ckpt`` or both: of those, one is written and the other is a second name."""
        before = self._standing() if before is None else before
        link = None
        if last:
            old, name = self.last_model_path, self.CHECKPOINT_NAME_LAST
            self.last_model_path = self._new_path(trainer, metrics, filename=name, free=old)
            removes = [*removes, *self._removable(trainer, old, self.last_model_path)]
            if path and path != self.last_model_path:
                if self.save_last == "link":
                    link = Path(self.last_model_path)
                else:
                    trainer.writer.also(Path(path), Path(self.last_model_path))
        self._newest = path or self.last_model_path
        self._saved_at = trainer.global_step
        self._tell(trainer, saves=True)
        try:
            trainer.save_checkpoint(
                self._newest, self.save_weights_only, wait=False, removes=removes, link=link
            )
        except BaseException:
            vars(self).update(before)
            raise
        self._in_flight = (Path(self._newest), before)

    @contextmanager
    def _decided_by_first(self, trainer: Trainer) -> Iterator[bool]:
        """What the first process decides here, the others do: whether this is the first one.

        It alone ranks and looks at files: clocks, disks and metrics of single steps differ between processes,
        and saving takes all of them.
        """
        if trainer.world_size == 1:
            yield True
            return
        self._told = False
        yield trainer.is_global_zero
        if trainer.is_global_zero:
            if not self._told:
                self._tell(trainer, saves=False)
            return
        saves, standing = trainer.strategy.broadcast((False, dict[str, Any]()))
        vars(self).update(standing)
        if saves:
            trainer.save_checkpoint(self._newest, self.save_weights_only, wait=False)

    def _tell(self, trainer: Trainer, *, saves: bool) -> None:
        """Tell the other processes whether the first one saves, and what is kept."""
        if trainer.world_size > 1:
            self._told = True
            trainer.strategy.broadcast((saves, self._standing()))

    def _wait(self, trainer: Trainer) -> None:
        if self._in_flight is not None:
            trainer.writer.wait()
            self._see_to_landed(trainer)

    def _see_to_landed(self, trainer: Trainer) -> None:
        """Tell the loggers of a file that is whole by now; forget one that failed."""
        assert self._in_flight is not None
        path, before = self._in_flight
        if trainer.writer.writing(path):
            return
        self._in_flight = None
        if trainer.writer.failed(path):
            vars(self).update(before)
            return
        trainer.after_save_checkpoint(self)
