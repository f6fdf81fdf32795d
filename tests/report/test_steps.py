"""The part of a run's page that tells where the time of training went."""

from __future__ import annotations

import re
from pathlib import Path

from lifecycle.report.page.curves import Curves
from lifecycle.report.page.page import render
from lifecycle.report.page.steps import steps
from tests.report.runs import pets

TIMED: Curves = {
    "train": {
        "train_loss": ((49.0, 1.0), (99.0, 0.5)),
        "time/step_ms": ((49.0, 10.0), (99.0, 12.0)),
        "time/data_ms": ((49.0, 1.0), (99.0, 3.0)),
        "time/forward_ms": ((49.0, 4.0), (99.0, 4.0)),
        "time/forward_max_ms": ((49.0, 5.0), (99.0, 5.0)),
        "time/backward_ms": ((49.0, 5.0), (99.0, 5.0)),
        "time/slowest_rank": ((49.0, 0.0), (99.0, 1.0)),
        "throughput/mfu": ((49.0, 0.4), (99.0, 0.42)),
        "memory/resident_peak_mb": ((49.0, 900.0), (99.0, 1200.0)),
    },
    "prune": {"train_loss": ((49.0, 0.4),)},
}


def test_parts_are_told_by_stage_with_means() -> None:
    found = steps(TIMED)
    assert found is not None
    split, others = found.tables
    assert split.columns == ("part of a batch", "train")
    assert {row[0].text: row[1].value for row in split.rows} == {
        "data": 2.0,
        "forward": 4.0,
        "backward": 5.0,
        "whole": 11.0,
    }
    assert {row[0].text: row[1].text for row in others.rows} == {
        "model FLOPs utilisation": "41.0 %",
        "peak resident memory of a process": "1,200 MB",
        "slowest rank, when last asked": "1",
    }


def test_the_page_draws_them_once(tmp_path: Path) -> None:
    text = render(pets(tmp_path / "pets", curves=TIMED))
    assert "Where the time of training went" in text
    assert re.findall(r'aria-label="([^"]* over the steps of [^"]*)"', text) == [
        "train_loss over the steps of train, prune",
        "milliseconds of a batch over the steps of train",
    ]


def test_a_run_without_such_metrics_has_no_such_part(tmp_path: Path) -> None:
    assert "Where the time of training went" not in render(pets(tmp_path / "pets"))
