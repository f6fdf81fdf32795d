"""One batch through each step before anything is trained: they work, and log what the pipeline file names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lifecycle.core.asked import check_asked
from lifecycle.core.stage import Context
from lifecycle.stages.apart import placed
from lifecycle.stages.fitting import data_of
from lifecycle.train.artifact import make_module
from lifecycle.train.isolation import isolate_rng
from lifecycle.train.trainer import Trainer


def rehearse(context: Context, options: Mapping[str, Any]) -> None:
    """Validate and test a fresh module on one batch; only the names of what it logs are looked at.

    A slip in ``test_step``, or in the name of a metric, would otherwise be told when all is trained.

    Args:
        context: Project, data, seed, and what is asked for; nothing is done where that is nothing.
        options: Of the trainer that is to train; this one takes one device of the same kind.

    Raises:
        UsageError: a metric is asked for that nobody logs.
        Exception: what a step of the user's raises.
    """
    kind = str(options.get("accelerator", "auto"))
    if context.asked:
        placed(lambda: _rehearse(context, kind), context)


def _rehearse(context: Context, kind: str) -> None:
    project = context.project
    with isolate_rng():
        for split in dict.fromkeys(each.split for each in context.asked):
            trainer = Trainer(
                accelerator=kind,
                devices=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                limit_val_batches=1,
                limit_test_batches=1,
            )
            data = data_of(context)
            module = make_module(project.model, project.model_args, project.root)
            pass_over = trainer.validate if split == "val" else trainer.test
            pass_over(module, datamodule=data, verbose=False)
            check_asked(context.asked, split, trainer.callback_metrics)
