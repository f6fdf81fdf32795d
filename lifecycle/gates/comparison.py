"""Candidate and champion scored now: the files that would be served, the same samples, one ``test_step``.

The candidate's checkpoint brings the code and the names of its data; the champion's file is scored by the
same, since a fair comparison has one measure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from torch.utils.data import DataLoader, IterableDataset

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import UsageError
from lifecycle.core.stage import Context, Project
from lifecycle.export.runtime import open_model
from lifecycle.gates.paired import Values
from lifecycle.session import data_maker
from lifecycle.stages.score import score_file
from lifecycle.train.artifact import open_checkpoint, read_recipe
from lifecycle.train.callbacks import Callback
from lifecycle.train.data import Loaders, batch_size, fingerprint
from lifecycle.train.logged import metric_values, sums

if TYPE_CHECKING:
    from lifecycle.gates.case import Exhibit
    from lifecycle.train.data import DataModule
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer

SINGLY = 5_000  # test samples up to which each is scored by itself
_AGREES = 1e-4


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What one file reached.

    Attributes:
        metrics: What ``test_step`` logs, over the batches of the project's own loaders.
        values: By metric, one value to a pair (a sample, or a small batch), where the metric is their mean.
        weights: Samples of each pair; None where each is one.
    """

    metrics: Mapping[str, float]
    values: Mapping[str, Values]
    weights: Values | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Candidate and champion, the latter where there is one."""

    candidate: Scores
    champion: Scores | None


def compare(candidate: Exhibit, champion: Exhibit | None, checkpoint: Artifact) -> Comparison:
    """Score the candidate's file, and the champion's on the same samples.

    Args:
        candidate: Whose file is scored.
        champion: What is champion, if anything is.
        checkpoint: What the candidate was exported from.

    Raises:
        UsageError: its data cannot be had, or is not that on which the candidate was evaluated.
        LifecycleError: a file cannot be run on it.
    """
    context = _context(checkpoint)
    live = _fingerprint(context)
    if live != candidate.data:
        raise UsageError(
            f"its data is not what it was: the fingerprint is {live[:12]}, it was evaluated on "
            f"{candidate.data[:12]}",
            hint="Run its pipeline again on the data that there is now.",
        )
    module = open_checkpoint(checkpoint)
    pairs = 1 if champion is not None else 0
    return Comparison(
        candidate=_score(module, candidate, context, pairs=pairs),
        champion=None if champion is None else _score(module, champion, context, pairs=pairs),
    )


def _fingerprint(context: Context) -> str:
    """Of the data as it is now."""
    try:
        return fingerprint(cast("DataModule", context.data()))
    except FileNotFoundError as error:
        path = Path(str(error.filename))
        beside = path.is_relative_to(context.project.root)
        if beside:
            missing = (
                f"{path.name} beside its code, of which a version has a copy: let data_args name the file, "
                "relative to the folder where commands are run"
            )
        else:
            missing = f"{path}: run the command where it is"
        raise UsageError(f"its data cannot be had: there is no {missing}") from error


def _context(checkpoint: Artifact) -> Context:
    """What the stages shared when the checkpoint was made, with the code that it keeps."""
    recipe = read_recipe(checkpoint)
    project = Project(
        name="promotion",
        root=checkpoint.path / "code",
        model=recipe.model,
        data=recipe.data,
        model_args=recipe.args,
        data_args=recipe.data_args,
    )
    return Context(project=project, data=data_maker(project), seed=recipe.seed)


def _score(module: Module, exhibit: Exhibit, context: Context, *, pairs: int) -> Scores:
    """The metrics, and what they are means of where pairs are wanted."""
    model = open_model(exhibit.bundle, "onnx", threads=1)
    metrics, _ = score_file(module, model, context)
    if not pairs:
        return Scores(metrics=metrics, values={}, weights=None)
    each = _Each()
    again, _ = score_file(module, model, context, loaders=_singly, callbacks=(each,))
    values = {name: np.array(found, np.float64) for name, found in each.values.items()}
    weights = np.array(each.sizes, np.float64)
    return Scores(
        metrics=metrics,
        # F1 and the like are no means over samples: nothing is said of what a sample adds to them.
        values={
            name: found
            for name, found in values.items()
            if len(found) == len(weights) and _is_mean(again.get(name), found, weights)
        },
        weights=None if (weights == 1).all() else weights,
    )


def _is_mean(metric: float | None, values: Values, weights: Values) -> bool:
    mean = float(values @ weights / weights.sum())
    return metric is not None and abs(mean - metric) <= _AGREES * max(1.0, abs(metric))


def _singly(loaders: Loaders) -> Loaders:
    """The same samples in the same order, one to a batch; small batches where there are many."""
    if isinstance(loaders, Mapping):
        return {name: _singly(loader) for name, loader in loaders.items()}
    if isinstance(loaders, Sequence):
        return [_singly(loader) for loader in loaders]
    if type(loaders) is not DataLoader or isinstance(loaders.dataset, IterableDataset):
        return loaders
    if loaders.batch_size is None:  # the data set, or a sampler of the user's, makes the batches
        return loaders
    order = list(cast("Any", loaders.sampler))
    return DataLoader(
        loaders.dataset,
        batch_size=-(-len(order) // SINGLY),
        sampler=order,
        collate_fn=loaders.collate_fn,
        num_workers=loaders.num_workers,
    )


class _Each(Callback):
    """Notes what every batch was scored with, and how many samples it had."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = defaultdict(list)
        self.sizes: list[float] = []
        self._before: dict[str, tuple[float, float]] = {}

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: Module,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        size = 0.0
        for name, (total, weight) in sums(pl_module).items():
            before, counted = self._before.get(name, (0.0, 0.0))
            self._before[name] = total, weight
            if weight > counted:
                self.values[name].append((total - before) / (weight - counted))
                size = max(size, weight - counted)
        for name, value in metric_values(pl_module).items():
            self.values[name].append(value)
        self.sizes.append(size or float(batch_size(batch)))
