"""The plug-ins of docs/extending.md work as they stand there; tests/contracts/ has its stage, format and gate too."""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lifecycle.compress.channels import prune_channels_
from lifecycle.core import plugins
from tests.docs.plugins import files, installed
from tests.train.small import Plain, loader, quiet


@pytest.fixture(autouse=True)
def own(tmp_path: Path) -> Iterator[None]:
    with installed(tmp_path / "site"):
        yield


def module(name: str) -> Any:
    return importlib.import_module(f"own.{name}")


def test_every_module_of_the_page_is_used_here_or_in_the_contracts() -> None:
    shown = {Path(block.words[0]).stem for block in files()}
    devices = {"strategy", "accelerator", "precision"}
    assert shown == devices | {"stage", "format", "gate", "callback", "logger", "profiler", "importance"}


def test_what_is_found_by_name_loads() -> None:
    for family, name in (("stages", "round_weights"), ("formats", "zipped"), ("gates", "licence")):
        assert plugins.load(family, name)


def test_the_callback_stops_a_fit_and_keeps_its_state(tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    stop.touch()
    callback = module("callback").StopFile(stop)
    trainer = quiet(max_epochs=5, callbacks=[callback])
    trainer.fit(Plain(), loader())
    assert (trainer.global_step, callback.stopped_at, stop.exists()) == (1, 1, False)
    again = module("callback").StopFile(stop)
    again.load_state_dict(callback.state_dict())
    assert again.stopped_at == 1


def test_the_logger_writes_lines() -> None:
    stream = io.StringIO()
    quiet(max_epochs=1, logger=module("logger").LineLogger("first", stream), log_every_n_steps=1).fit(
        Plain(), loader(), loader()
    )
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {line["run"] for line in lines} == {"first"}
    assert "lr" in lines[0]["hyperparameters"]
    assert any("val_loss" in line for line in lines)


def test_the_profiler_reports(tmp_path: Path) -> None:
    profiler = module("profiler").MemoryProfiler(str(tmp_path), "memory")
    quiet(max_epochs=1, profiler=profiler).fit(Plain(), loader())
    assert "run_training_batch" in profiler.grown
    assert "Memory Report" in (tmp_path / "fit-memory.txt").read_text()


def test_the_criterion_prunes_what_spreads_least() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    with torch.no_grad():
        network[0].weight[1:3] = 0.5  # constant: no spread at all
    kept = network[0].weight.detach()[[0, 3]].clone()
    prune_channels_(
        network, (torch.zeros(1, 1, 8, 8),), channels=0.5, importance=module("importance").spread, round_to=1
    )
    assert torch.equal(network[0].weight, kept)
