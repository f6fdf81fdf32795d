"""One batch through each step before anything is trained: they work, and log what the pipeline file names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lifecycle.core.asked import check_asked
from lifecycle.core.stage import Context
from lifecycle.stages.fitting import data_of
from lifecycle.train.artifact import make_module
from lifecycle.train.isolation import isolate_rng
from lifecycle.train.trainer import Trainer


def rehearse(context: Context, options: Mapping[str, Any]) -> None:
    """Validate and test a fresh module on one batch; only the names of what it logs are looked at.

    A slip in ``test_step``, or in the name of a metric, would otherwise be told when all is trained.

    Args:
        context: Project, data, seed, and what is asked for; nothing is done where that is nothing.
        options: Of the trainer that is to train; this one takes a device of the same kind. Where it takes
            several, that is the processor: processes cannot be forked from one that has used a GPU.

    Raises:
        UsageError: a metric is asked for that nobody logs.
        Exception: what a step of the user's raises.
    """
    splits = dict.fromkeys(each.split for each in context.asked)
    kind = kind_of(options) if splits else "auto"
    project = context.project
    with isolate_rng():
        for split in splits:
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


def kind_of(options: Mapping[str, Any]) -> str:
    """The accelerator to rehearse on."""
    placed = {name: options[name] for name in ("accelerator", "devices", "num_nodes") if name in options}
    several = Trainer(**placed, logger=False, enable_checkpointing=False).world_size > 1
    return "cpu" if several else str(options.get("accelerator", "auto"))
