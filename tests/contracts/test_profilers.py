"""What holds for every profiler."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lifecycle.train.profilers import (
    AdvancedProfiler,
    PassThroughProfiler,
    Profiler,
    PyTorchProfiler,
    SimpleProfiler,
    profiler_of,
)

Make = Callable[..., Profiler]
NAMED: dict[str, type[Profiler]] = {
    "simple": SimpleProfiler,
    "advanced": AdvancedProfiler,
    "pytorch": PyTorchProfiler,
}
TITLE = re.compile("FIT Profiler Report")


@pytest.fixture(params=list(NAMED.values()), ids=list(NAMED))
def make(request: pytest.FixtureRequest) -> Make:
    return request.param  # type: ignore[no-any-return]


def train(profiler: Profiler, stage: str = "fit", log_dir: str | None = None, steps: int = 6) -> nn.Module:
    """As the trainer does, up to the report."""
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    profiler.setup(stage, None, log_dir)
    profiler.watch(module)
    for _ in range(steps):
        with (
            profiler.profile("run_training_batch"),
            profiler.profile("[Strategy]SingleDeviceStrategy.training_step"),
        ):
            module(torch.ones(2, 4)).sum().backward()
    return module


def test_the_report_goes_to_the_log(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    profiler = make()
    with caplog.at_level(logging.INFO):
        train(profiler)
        profiler.describe()
    text = next(message for message in caplog.messages if TITLE.search(message))
    assert "training_step" in text


def test_or_to_standard_error_where_there_is_no_log(
    make: Make, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    profiler = make()
    train(profiler)
    profiler.describe()
    out, err = capsys.readouterr()
    assert TITLE.search(err)
    assert out == ""
    monkeypatch.setattr(logging.getLogger("lifecycle"), "level", logging.WARNING)
    logging.getLogger("lifecycle").manager._clear_cache()  # type: ignore[attr-defined]
    profiler.describe()
    assert "Profiler Report" not in capsys.readouterr().err
    logging.getLogger("lifecycle").manager._clear_cache()  # type: ignore[attr-defined]


def test_or_to_a_file(make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    profiler = make(dirpath=tmp_path / "reports", filename="speed")
    for _ in range(2):
        train(profiler)
        profiler.describe()
        profiler.teardown("fit")
    text = (tmp_path / "reports" / "fit-speed.txt").read_text()
    assert len(TITLE.findall(text)) == 2
    assert not any(TITLE.search(message) for message in caplog.messages)


def test_files_go_to_the_folder_of_the_logger(make: Make, tmp_path: Path) -> None:
    profiler = make(filename="speed")
    train(profiler, "test", str(tmp_path))
    profiler.describe()
    assert "TEST Profiler Report" in (tmp_path / "test-speed.txt").read_text()
    assert profiler.dirpath == str(tmp_path)


def test_a_report_is_that_of_one_stage(make: Make) -> None:
    profiler = make()
    train(profiler)
    profiler.teardown("fit")
    profiler.setup("test")
    with profiler.profile("[Strategy]SingleDeviceStrategy.test_step"):
        torch.ones(2).sum()
    text = profiler.summary()
    assert "test_step" in text
    assert "training" not in text


def test_it_works_without_a_trainer(make: Make) -> None:
    profiler = make(schedule=None) if make is PyTorchProfiler else make()
    with profiler.profile("mine"):
        torch.ones(3).sum()
    assert re.search(r"^Profiler Report", profiler.summary())
    assert "mine" in profiler.summary()


def test_actions_that_fail_have_ended(make: Make) -> None:
    profiler = make()
    profiler.setup("fit")
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), profiler.profile("training_step"):
            torch.ones(1).sum()
            _ = 1 / 0
    assert "training_step" in profiler.summary()
    profiler.teardown("fit")


def test_after_the_end_nothing_is_measured(make: Make) -> None:
    profiler = make()
    module = train(profiler)
    profiler.start("run_training_epoch")  # an exception ends the fit here
    profiler.teardown("fit")
    other = make()
    train(other)
    other.teardown("fit")
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_nothing_measured_is_nothing_to_say(make: Make) -> None:
    profiler = make()
    profiler.setup("fit")
    assert "training" not in profiler.summary()


@pytest.mark.parametrize("name", [*NAMED, "Simple"])
def test_it_is_chosen_by_name(name: str) -> None:
    assert type(profiler_of(name)) is NAMED[name.lower()]


def test_it_may_be_given_or_there_is_none() -> None:
    mine = PassThroughProfiler()
    with mine.profile("anything"):
        pass
    mine.describe()
    assert profiler_of(mine) is mine
    assert profiler_of(None) is None


@pytest.mark.parametrize("value", ["simpel", "xla", 3, SimpleProfiler])
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(
        ValueError, match=r"^profiler=.*: expected a name, or a lifecycle.profilers.Profiler"
    ) as told:
        profiler_of(value)
    assert "llowed: advanced, pytorch, simple" in str(told.value)


def test_every_kind_is_offered_by_name() -> None:
    import lifecycle.profilers

    offered = {name: getattr(lifecycle.profilers, name) for name in lifecycle.profilers.__all__}
    assert set(offered.values()) == {*NAMED.values(), PassThroughProfiler, Profiler}
