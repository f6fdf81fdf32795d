from __future__ import annotations

import pytest
import torch

from lifecycle.train.callbacks.readings import Readings


def test_metrics_become_numbers_and_texts() -> None:
    metrics = {
        "loss": torch.tensor(0.25),
        "one": torch.tensor([2.0]),
        "count": torch.tensor(3),
        "v_num": 7,
        "rate": 1e-3,
        "name": "x1f3",
        "several": {"a": 1},
        "none": None,
    }
    found = Readings().read(metrics)
    assert found == {
        "loss": 0.25,
        "one": 2.0,
        "count": 3,
        "v_num": 7,
        "rate": 1e-3,
        "name": "x1f3",
        "several": "{'a': 1}",
        "none": "None",
    }
    assert list(found) == list(metrics)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_numbers_of_a_gpu_are_shown_when_they_have_arrived() -> None:
    readings = Readings()
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss = torch.full((), 0.5, device="cuda")
        first = readings.read({"loss": loss, "v_num": 7})
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert first == {"v_num": 7}
    torch.cuda.synchronize()
    assert readings.read({"loss": torch.zeros((), device="cuda"), "v_num": 7}) == {"loss": 0.5, "v_num": 7}
    assert readings.read({"loss": torch.ones((), device="cuda")}, wait=True) == {"loss": 1.0}
