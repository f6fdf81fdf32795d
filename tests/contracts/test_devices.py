"""What every strategy, accelerator and precision keeps to; those of another distribution are found and used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lifecycle.accelerators import Accelerator
from lifecycle.core import plugins
from lifecycle.core.errors import UsageError
from lifecycle.plugins import Precision
from lifecycle.strategies import Strategy
from lifecycle.train.accelerators import accelerator_of
from tests.train.small import Plain, loader, quiet

PACKAGE = """
import torch
from lifecycle.accelerators import CPUAccelerator
from lifecycle.plugins import Precision
from lifecycle.strategies import SingleDeviceStrategy


class Slow(CPUAccelerator):
    @staticmethod
    def name():
        return "slow"


class Counting(SingleDeviceStrategy):
    strategy_name = "counting"
    steps = 0

    def training_step(self, module, step, *, automatic=True):
        def counted(*arguments):
            self.steps += 1
            return step(*arguments)

        return counted


class Rounded(Precision):
    name, plain = "8-rounded", False

    def convert_batch(self, batch):
        return [(each * 8).round() / 8 for each in batch]
"""


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution with one of each is installed."""
    (tmp_path / "slow_devices.py").write_text(PACKAGE)
    folder = tmp_path / "slow_devices-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-devices\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[lifecycle.strategies]\ncounting = slow_devices:Counting\n"
        "[lifecycle.accelerators]\nslow = slow_devices:Slow\n"
        "[lifecycle.precisions]\n8-rounded = slow_devices:Rounded\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins.table.cache_clear()
    yield
    plugins.table.cache_clear()
    sys.modules.pop("slow_devices", None)


def test_those_of_another_distribution_are_found_listed_and_used(other: None) -> None:
    trainer = quiet(strategy="counting", accelerator="slow", precision="8-rounded", max_epochs=1)
    trainer.fit(Plain(), loader())
    assert trainer.strategy.steps == 6  # type: ignore[attr-defined]
    assert (trainer.accelerator.name(), trainer.precision) == ("slow", "8-rounded")
    with pytest.raises(UsageError, match="allowed: auto, cpu, cuda, gpu, mps, slow, xla"):
        quiet(accelerator="nothing of the kind")
    with pytest.raises(UsageError, match="counting, ddp"):
        quiet(strategy="nothing of the kind")
    with pytest.raises(UsageError, match="8-rounded"):
        quiet(precision="nothing of the kind")


@pytest.mark.parametrize("name", sorted(plugins.table("strategies")))
def test_a_strategy_of_one_process_asks_nobody(name: str) -> None:
    found = plugins.load("strategies", name)
    assert isinstance(found, type) and issubclass(found, Strategy)
    strategy = found()
    strategy.place([torch.device("cpu")], None)
    assert (strategy.world_size, strategy.global_rank, strategy.is_global_zero) == (1, 0, True)
    assert strategy.launch(quiet(), quiet().fit, {}) == (False, None)  # no process is missing


@pytest.mark.parametrize("name", sorted(plugins.table("accelerators")))
def test_an_accelerator_says_what_it_is(name: str) -> None:
    kind = plugins.load("accelerators", name)
    assert isinstance(kind, type) and issubclass(kind, Accelerator)
    assert kind.name() == name
    if kind.is_available():
        assert kind.auto_device_count() >= 1
        assert kind.get_parallel_devices(kind.parse_devices(1))[0].type == name


@pytest.mark.parametrize("name", sorted(plugins.table("precisions")))
def test_a_precision_is_known_by_its_name(name: str) -> None:
    found = plugins.load("precisions", name)
    assert isinstance(found, type) and issubclass(found, Precision)


def test_tpus_need_a_package_and_the_error_names_it() -> None:
    with pytest.raises(UsageError) as refused:
        accelerator_of("xla")
    assert str(refused.value) == (
        "accelerator='xla': there is none here\n"
        "Run `pip install torch_xla[tpu]` of torch's own version on a machine with TPUs; "
        "elsewhere pass accelerator='auto'."
    )
