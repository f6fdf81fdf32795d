"""``lifecycle quantize``: a pipeline file up to its quantized checkpoint."""

from __future__ import annotations

from lifecycle.cli.partial import verb_up_to

quantize = verb_up_to(
    "quantize",
    text="""Run the pipeline in FILE up to its quantize stage.

    KEY=VALUE sets an option for this run, as in: quantize.method=static. Exit code 3 means that the quantized
    model breaks the budget.
    """,
    examples="""
    lifecycle quantize pipeline.yaml
        Train, prune and quantize, as the file says.
    lifecycle quantize pipeline.yaml quantize.method=static
        By calibration, without training.
    """,
)
