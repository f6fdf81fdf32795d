from __future__ import annotations

import pytest

from lifecycle.core.errors import UsageError
from lifecycle.train.profilers import SimpleProfiler
from tests.train.loggers.stores import Clock


def measured(*, extended: bool) -> SimpleProfiler:
    """4 s of work, of which the data take 1 s each time and the step 0.5 s."""
    clock = Clock()
    profiler = SimpleProfiler(extended=extended, clock=clock)
    clock.now = 100.0
    profiler.setup("fit")
    for action, seconds in (("data", 1.0), ("step", 0.5), ("step", 0.5), ("step", 0.5)):
        with profiler.profile(action):
            clock.now += seconds
    clock.now += 1.5
    return profiler


def test_the_longest_in_all_come_first() -> None:
    assert measured(extended=True).summary() == (
        "FIT Profiler Report\n"
        "\n"
        "Action  Mean duration (s)  Num calls  Total time (s)  Percentage %\n"
        "------------------------------------------------------------------\n"
        "Total                   -          4               4           100\n"
        "step                  0.5          3             1.5          37.5\n"
        "data                    1          1               1            25\n"
    )


def test_or_the_longest_on_average() -> None:
    assert measured(extended=False).summary() == (
        "FIT Profiler Report\n"
        "\n"
        "Action  Mean duration (s)  Total time (s)\n"
        "-----------------------------------------\n"
        "data                    1               1\n"
        "step                  0.5             1.5\n"
    )


def test_actions_may_lie_within_each_other_but_not_in_themselves() -> None:
    profiler = SimpleProfiler()
    with (
        profiler.profile("outer"),
        profiler.profile("inner"),
        pytest.raises(UsageError, match=r"^the action 'inner' is started, and was not stopped since"),
    ):
        profiler.start("inner")
    assert {name: found.count for name, found in profiler.recorded.items()} == {"outer": 1, "inner": 1}


def test_what_did_not_begin_cannot_end() -> None:
    with pytest.raises(UsageError, match=r"^the action 'step' is stopped, and was not started$"):
        SimpleProfiler().stop("step")
