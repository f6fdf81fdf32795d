from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import lifecycle as pl
from lifecycle.stages.latency import OnnxLatency
from lifecycle.train.describe import signature_of


class Small(pl.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, width, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36 * width, 2))
        self.example_input_array = torch.zeros(2, 1, 8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def test_what_the_clock_said_of_a_file_is_not_asked_again(tmp_path: Path) -> None:
    module = Small()
    latency = OnnxLatency(signature_of(module), tmp_path, calls=5)
    first = latency(module)
    assert first > 0 and not list(tmp_path.glob("*.onnx"))
    (key,) = json.loads((tmp_path / "latencies.json").read_text())
    (tmp_path / "latencies.json").write_text(json.dumps({key: 7.0}))
    again = OnnxLatency(signature_of(module), tmp_path, calls=5)
    assert again(Small()) == 7.0, "the same shapes take the same time"
    assert again(Small(width=5)) != 7.0


def test_two_modules_are_timed_in_turn(tmp_path: Path) -> None:
    latency = OnnxLatency(signature_of(Small()), tmp_path, calls=20)
    ratio = latency.beside(Small(64), Small(2))
    assert ratio == pytest.approx(latency.beside(Small(64), Small(2))) and ratio > 0
