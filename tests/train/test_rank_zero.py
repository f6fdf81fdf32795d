from __future__ import annotations

import logging

import pytest

from lifecycle.utilities import (
    rank_zero_debug,
    rank_zero_deprecation,
    rank_zero_info,
    rank_zero_only,
    rank_zero_warn,
)


def test_the_only_process_runs_what_the_first_does() -> None:
    @rank_zero_only
    def twice(number: int, *, plus: int = 0) -> int:
        return 2 * number + plus

    assert twice(3, plus=1) == 7


def test_messages_are_logged_as_others_are(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    rank_zero_info("epoch %d", 3)
    rank_zero_debug("batch %d", 4)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "epoch 3"),
        ("DEBUG", "batch 4"),
    ]


def test_warnings_point_at_who_warned() -> None:
    with pytest.warns(DeprecationWarning, match="^old$") as warned:
        rank_zero_warn("old", category=DeprecationWarning)
    assert warned[0].filename == __file__
    with pytest.warns(UserWarning, match="^careful$"):
        rank_zero_warn("careful")


def test_what_is_to_go_is_told_as_such() -> None:
    with pytest.warns(DeprecationWarning, match="^old$") as warned:
        rank_zero_deprecation("old")
    assert warned[0].filename == __file__
