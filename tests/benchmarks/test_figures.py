"""Figures, the file that keeps them, the pages that show them, and what is said to have changed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmarks.figures.changes import changes, render_changes
from benchmarks.figures.figure import Bar, Figure
from benchmarks.figures.machine import this_machine, versions
from benchmarks.figures.pages import outside, render_page
from benchmarks.figures.results import Result, parse_results, render_results
from benchmarks.figures.spread import interval
from benchmarks.figures.suite import chosen

STEP = Figure(
    table="time of a step",
    row="micro",
    over="the raw loop",
    unit="×",
    value=1.2912345,
    low=1.25,
    high=1.38,
    bar=Bar(sign="<=", limit=1.15, judged="low"),
)
PEER = Figure(table="time of a step", row="micro", of="Lightning", over="the raw loop", unit="×", value=6.7)
RESULT = Result(
    command="python benchmarks/trainer.py",
    date="2026-11-26",
    machine=replace(this_machine(), load=0.3),
    versions={"torch": "2.13.0"},
    figures=(STEP, PEER),
)


def test_what_is_written_is_read_back_and_the_same_results_are_the_same_bytes() -> None:
    text = render_results({"trainer": RESULT, "gpu": replace(RESULT, figures=())})
    assert render_results(parse_results(text)) == text
    assert render_results({"gpu": replace(RESULT, figures=()), "trainer": RESULT}) == text
    written = json.loads(text)["benchmarks"]["trainer"]["figures"][0]
    assert (written["value"], written["interval"], written["holds"]) == (1.2912, [1.25, 1.38], False)


def test_a_bar_is_held_against_the_end_that_it_is_for() -> None:
    assert STEP.holds is False
    assert replace(STEP, low=1.1).holds is True
    assert replace(STEP, bar=Bar(sign=">=", limit=1.29)).holds is True
    assert PEER.holds is None
    with pytest.raises(ValueError, match="its bar is for the 'low' end of an interval that it lacks"):
        _ = replace(STEP, low=None, high=None).holds


def test_two_figures_of_one_name_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"two figures of one name: \('time of a step', 'micro', 'Lightning'\)"
    ):
        replace(RESULT, figures=(PEER, STEP, PEER))


def test_a_page_gets_its_tables_and_keeps_its_prose() -> None:
    page = "Before.\n\n<!-- figures:trainer:begin -->\nold\n<!-- figures:trainer:end -->\n\nAfter: 5 ms.\n"
    made = render_page(page, {"trainer": RESULT})
    assert "| time of a step, over the raw loop | `lifecycle` | Lightning | aim |" in made
    shown = "| micro | × 1.29 [1.25, 1.38] | × 6.70 | ≤ 1.15 at the lower end: **not reached** |"
    assert shown in made
    assert "python benchmarks/trainer.py" in made and "torch 2.13.0" in made and "load 0.3" in made
    assert "old" not in made
    assert made.startswith("Before.\n") and made.endswith("After: 5 ms.\n")
    assert render_page(made, {"trainer": RESULT}) == made
    assert outside(made).split() == ["Before.", "After:", "5", "ms."]


def test_a_page_that_shows_what_nobody_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="the page shows 'sorting'; there are results of trainer"):
        render_page("<!-- figures:sorting:begin -->\n<!-- figures:sorting:end -->\n", {"trainer": RESULT})


def test_what_changed_says_whether_the_intervals_overlap() -> None:
    slower = replace(RESULT, figures=(replace(STEP, value=1.6, low=1.5, high=1.7), PEER))
    within = replace(RESULT, figures=(replace(STEP, value=1.35, low=1.3, high=1.7), PEER))
    alone = replace(RESULT, figures=(STEP,))
    found = [changes({"trainer": RESULT}, {"trainer": now}) for now in (slower, within, alone, RESULT)]
    assert [[(one.before, one.now, one.overlap) for one in each] for each in found] == [
        [("× 1.29 [1.25, 1.38]", "× 1.60 [1.50, 1.70]", "no")],
        [("× 1.29 [1.25, 1.38]", "× 1.35 [1.30, 1.70]", "yes")],
        [("× 6.70", "–", "–")],
        [],
    ]
    assert "trainer: time of a step, micro (lifecycle)" in render_changes(found[0])
    assert render_changes([]) == "Nothing changed since the committed results."


def test_the_interval_of_a_median_holds_it() -> None:
    middle, low, high = interval([1.0, 1.1, 1.2, 1.3, 5.0])
    assert (middle, low, high) == (1.2, 1.0, 5.0)


def test_only_those_named_are_run_and_a_misspelt_name_is_told() -> None:
    assert [one.name for one in chosen("serve, trainer")] == ["trainer", "serve"]
    assert len(chosen("")) > 8
    with pytest.raises(ValueError, match="there is no benchmark 'server'; there are trainer, "):
        chosen("server")


def test_the_machine_and_the_versions_are_known() -> None:
    machine = this_machine()
    assert machine.processor and machine.cores >= 1
    assert machine.memory_gb and machine.memory_gb > 0.1
    assert {"python", "torch", "onnxruntime", "numpy"} <= set(versions())
