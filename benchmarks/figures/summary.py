"""Which figures users ask for first: the table in the README."""

from __future__ import annotations

from dataclasses import dataclass

from .figure import OURS


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of the summary.

    Attributes:
        text: What is measured, in the README's words.
        benchmark: Where the figure stands.
        table: Its table there.
        row: Its row.
        of: Which column of it is ours.
    """

    text: str
    benchmark: str
    table: str
    row: str
    of: str = OURS


STEP = "time of a step, one `self.log`, bar and checkpoints on"
LOST = "points of accuracy lost, mean of 5 seeds"
RATE = "rate at 16 connections"
SUMMARY = (
    Line(
        text="training: function calls a step over a hand-written loop, one `self.log`",
        benchmark="trainer",
        table="function calls a step",
        row="bare, one `self.log`",
    ),
    Line(
        text="– time over it, micro model, bar and checkpoints on",
        benchmark="trainer",
        table=STEP,
        row="micro model",
    ),
    Line(text="– the same, 5 ms a step", benchmark="trainer", table=STEP, row="5 ms a step"),
    Line(
        text="– a fit of one step, with its checkpoint",
        benchmark="trainer",
        table="a fit of one step, with its checkpoint",
        row="micro model",
    ),
    Line(
        text="– host synchronisations a step on a GPU",
        benchmark="gpu",
        table="host synchronisations a step, logger and bar on",
        row="micro model, pinned batches",
    ),
    Line(
        text="– two processes, time over a hand-written DDP loop",
        benchmark="scale",
        table="time of a step",
        row="two processes, gloo",
    ),
    *(
        Line(
            text=f"compression: accuracy lost in points, digits, INT8 at {left} % of the MACs",
            benchmark="accuracy",
            table=LOST,
            row=f"{left} % of the multiply-accumulates, INT8",
            of="with distillation",
        )
        for left in (25, 10, 5)
    ),
    Line(
        text="– ResNet-18, pruned and INT8, times faster than PyTorch eager",
        benchmark="compress",
        table="pruned and INT8, times faster than eager",
        row="ResNet-18, 25 % of the MACs, batch 1",
    ),
    Line(
        text="– its file, times smaller than the dense ONNX",
        benchmark="compress",
        table="pruned and INT8, times smaller",
        row="ResNet-18, 25 % of the MACs",
    ),
    Line(
        text="export: added to a call of ONNX Runtime, checks included",
        benchmark="export",
        table="added to a call, checks included",
        row="one input of one dynamic axis",
    ),
    Line(text="serving: JSON 1×8×8, 16 connections", benchmark="serve", table=RATE, row="JSON 1×8×8"),
    Line(text="– JSON 3×32×32", benchmark="serve", table=RATE, row="JSON 3×32×32"),
    Line(text="– bytes 3×224×224", benchmark="serve", table=RATE, row="bytes 3×224×224"),
    *(
        Line(text=text, benchmark="pipeline", table="what people wait for", row=row)
        for text, row in (
            ("waiting: `lifecycle run`, everything cached", "cached run"),
            ("– `lifecycle plan`", "plan"),
            ("– `lifecycle --help`", "--help"),
        )
    ),
)
