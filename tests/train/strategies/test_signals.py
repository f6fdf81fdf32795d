"""A signal to one of two processes, or to the agent that started them: all end behind the same step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.train.strategies import script, signals
from tests.train.strategies.forked import run_ranks_anew
from tests.train.strategies.test_launch import ended, run

Outcomes = dict[str, list[Any]]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    return run_ranks_anew([signals.signalled, signals.exchanges], tmp_path_factory.mktemp("signals"))


@pytest.mark.parametrize(
    ("way", "how", "folder"),
    [
        ("ddp", "SystemExit(143)", False),
        ("parts", "SystemExit(143)", True),
        ("whole", "KeyboardInterrupt()", False),
    ],
)
def test_all_end_behind_the_same_step_and_go_on_to_the_bit(
    two: Outcomes, way: str, how: str, folder: bool
) -> None:
    first, second = (each[way] for each in two["signalled"])
    assert first == second
    assert first["ended"] == how
    assert first["folder"] == folder
    epoch, batch, pending = first["at"]
    assert (epoch, pending) == (1, batch % 2) and batch in (3, 4)  # the other may have begun the next
    assert first["same"]


def test_who_is_not_disturbed_exchanges_nothing_for_it(two: Outcomes) -> None:
    for short, long in two["exchanges"]:
        assert short == long


def test_the_agent_is_told_to_end_and_the_fit_goes_on_later(tmp_path: Path) -> None:
    done = run(tmp_path, [], {"devices": 2}, TELLS_AGENT="4")
    assert done.returncode == 143, done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "ended.json").exists()
    assert (tmp_path / "kept" / "interrupted.ckpt").is_file()
    whole = tmp_path / "whole"
    assert run_ranks_anew([again, undisturbed], tmp_path)
    found = ended(tmp_path), ended(whole)
    for each in found:
        del each["pid"]
    assert found[0] == found[1]


def again(folder: Path) -> None:
    script.main(folder.parent, {}, "last")


def undisturbed(folder: Path) -> None:
    (folder.parent / "whole").mkdir(exist_ok=True)
    script.main(folder.parent / "whole", {})
