"""``lifecycle evaluate``: a pipeline file up to the score of its exported file."""

from __future__ import annotations

from lifecycle.cli.partial import verb_up_to

evaluate = verb_up_to(
    "evaluate",
    text="""Run the pipeline in FILE up to its evaluation: the exported file, scored and timed.

    KEY=VALUE sets an option for this run. Exit code 3 means that a file differs from its module or breaks the
    budget. Nothing is registered.
    """,
    examples="""
    lifecycle evaluate pipeline.yaml
        Everything but registering.
    lifecycle evaluate pipeline.yaml --json
        Metrics and digests, for programs.
    """,
)
