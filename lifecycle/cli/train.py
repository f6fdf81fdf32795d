"""``lifecycle train``: a pipeline file up to its trained checkpoint."""

from __future__ import annotations

from lifecycle.cli.partial import verb_up_to

train = verb_up_to(
    "train",
    text="""Run the pipeline in FILE up to its train stage.

    KEY=VALUE sets an option for this run, as in: train.trainer.devices=2. A training that was stopped goes on
    from its last step.
    """,
    examples="""
    lifecycle train pipeline.yaml
        Train, as the file says.
    lifecycle train pipeline.yaml train.trainer.max_epochs=3 train.trainer.devices=2
        Shorter, on two devices.
    """,
)
