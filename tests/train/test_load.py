from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from lifecycle.core.errors import UsageError
from lifecycle.train import load
from lifecycle.train.load import Load, Percentages

MEMORY = """\
MemTotal:       1000 kB
MemFree:         100 kB
MemAvailable:    250 kB
SwapTotal:       {swap} kB
SwapFree:        150 kB
HugePages_Total:   0
"""


@pytest.fixture
def linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system whose numbers the test writes."""
    monkeypatch.setattr(load, "PROC", tmp_path)
    (tmp_path / "meminfo").write_text(MEMORY.format(swap=200))
    (tmp_path / "stat").write_text("cpu  100 0 50 800 50 0 0 0 70 0\ncpu0 1 1 1 1\n")
    return tmp_path


def test_the_load_is_what_linux_counts(linux: Path) -> None:
    asked = Load()
    # 100 further ticks, 40 of them idle and 20 waiting for disks; those of guests are in the first column.
    (linux / "stat").write_text("cpu  130 0 60 840 70 0 0 0 90 0\n")
    assert asked.read() == Percentages(memory=75.0, processor=40.0, swap=25.0)
    (linux / "stat").write_text("cpu  230 0 60 840 70 0 0 0 90 0\n")
    assert asked.read().processor == 100.0


def test_nothing_in_use_is_no_error(linux: Path) -> None:
    (linux / "meminfo").write_text(MEMORY.format(swap=0).replace("150", "0"))
    assert Load().read() == Percentages(memory=75.0, processor=0.0, swap=0.0)


@pytest.mark.skipif(not Path("/proc/meminfo").is_file(), reason="not Linux")
def test_the_memory_is_what_psutil_finds_too() -> None:
    _check_memory()


def _check_memory() -> Percentages:
    """Compare with what psutil says before and after, as others may take memory meanwhile."""
    before, found, after = psutil.virtual_memory().percent, Load().read(), psutil.virtual_memory().percent
    assert min(before, after) - 5 <= found.memory <= max(before, after) + 5
    return found


def test_other_systems_are_read_through_psutil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "PROC", tmp_path / "absent")
    found = _check_memory()
    assert 0 <= found.processor <= 100 and 0 <= found.swap <= 100
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(UsageError) as caught:
        Load().read()
    assert str(caught.value) == "how busy this machine is cannot be read without psutil\npip install psutil"
