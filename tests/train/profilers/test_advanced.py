from __future__ import annotations

import pstats
import re
from pathlib import Path

import pytest

from lifecycle.core.errors import UsageError
from lifecycle.train.profilers import AdvancedProfiler


def first() -> None: ...


def second() -> None: ...


def calls(report: str, action: str) -> dict[str, int]:
    """How often the report says that our two functions ran within an action."""
    section = report.split(f"Profile stats for: {action}\n")[1].split("Profile stats for:")[0]
    found = re.findall(r"^\s*(\d+)\s.*\((first|second)\)$", section, re.MULTILINE)
    return {name: int(count) for count, name in found}


def test_an_action_includes_those_within_it() -> None:
    profiler = AdvancedProfiler()
    for _ in range(3):
        with profiler.profile("outer"):
            first()
            with profiler.profile("inner"):
                second()
            first()
    with profiler.profile("inner"):
        second()
    second()
    report = profiler.summary()
    assert calls(report, "outer") == {"first": 6, "second": 3}
    assert calls(report, "inner") == {"second": 4}


def test_actions_may_end_in_any_order() -> None:
    profiler = AdvancedProfiler()
    profiler.start("a")
    first()
    profiler.start("b")
    first()
    profiler.stop("a")
    second()
    profiler.stop("b")
    second()
    report = profiler.summary()
    assert calls(report, "a") == {"first": 2}
    assert calls(report, "b") == {"first": 1, "second": 1}


def test_a_report_in_between_measures_on() -> None:
    profiler = AdvancedProfiler()
    with profiler.profile("a"):
        first()
        profiler.summary()
        first()
    assert calls(profiler.summary(), "a") == {"first": 2}


@pytest.mark.parametrize(("restriction", "shown"), [(1.0, True), (1, False)])
def test_the_list_may_be_cut(restriction: float, shown: bool) -> None:
    profiler = AdvancedProfiler(line_count_restriction=restriction)
    with profiler.profile("a"):
        first()
        sorted(range(1000), key=lambda x: -x)
    assert bool(calls(profiler.summary(), "a")) == shown


def test_statistics_are_written_for_other_tools(tmp_path: Path) -> None:
    profiler = AdvancedProfiler(tmp_path / "stats", dump_stats=True)
    profiler.setup("fit")
    with profiler.profile("[Callback]Saves.on_fit_start"), profiler.profile("in/ner"):
        first()
    profiler.describe()
    assert sorted(path.name for path in (tmp_path / "stats").iterdir()) == [
        "fit-[Callback]Saves.on_fit_start.prof",
        "fit-in_ner.prof",
    ]
    stats = pstats.Stats(str(tmp_path / "stats" / "fit-in_ner.prof"))
    assert "first" in {name for _, _, name in stats.stats}  # type: ignore[attr-defined]


def test_statistics_need_a_folder() -> None:
    profiler = AdvancedProfiler(dump_stats=True)
    with profiler.profile("a"):
        first()
    with pytest.raises(
        UsageError, match=r"^AdvancedProfiler\(dump_stats=True\) needs a folder: pass dirpath"
    ):
        profiler.describe()


def test_what_did_not_begin_cannot_end() -> None:
    with pytest.raises(UsageError, match=r"^the action 'step' is stopped, and was not started$"):
        AdvancedProfiler().stop("step")
