from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lifecycle.compress.calibration import calibrate_, freeze_batch_norm_, freeze_observers_
from lifecycle.compress.quantizer import prepare_quantization_
from lifecycle.core.errors import UsageError
from tests.compress.networks import EXAMPLE, Residual

IMAGES = torch.randint(0, 17, (32, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def prepared(method: str) -> nn.Module:
    torch.manual_seed(0)
    module = Residual()
    prepare_quantization_(module, EXAMPLE, method=method)
    return module


def state(module: nn.Module, part: str) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items() if name.endswith(part)}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    assert one
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_ranges_come_from_the_data_and_normalisation_does_not_move() -> None:
    module = prepared("static")
    mean = state(module, "running_mean")
    calibrate_(module, ((part,) for part in IMAGES.split(8)))
    assert module.training
    assert all(bool(flag) for flag in state(module, "observed").values())
    assert same(mean, state(module, "running_mean"))


def test_static_ranges_stay_in_training_and_those_of_qat_follow_it() -> None:
    for method, stays in (("static", True), ("qat", False)):
        module = prepared(method)
        calibrate_(module, [(IMAGES,)])
        before = state(module, "high")
        module(IMAGES // 2)
        assert same(before, state(module, "high")) is stays


def test_what_is_frozen_no_longer_moves_though_weights_do() -> None:
    module = prepared("qat")
    calibrate_(module, [(IMAGES,)])
    freeze_observers_(module)
    freeze_batch_norm_(module)
    scales, means = state(module, "scale"), state(module, "running_mean")
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    F.cross_entropy(module.train()(IMAGES), torch.arange(32) % 10).backward()
    weight = module.head.weight.detach().clone()
    optimizer.step()
    module(IMAGES)
    assert same(scales, state(module, "scale")) and same(means, state(module, "running_mean"))
    assert not torch.equal(weight, module.head.weight)


def test_frozen_normalisation_is_part_of_the_state() -> None:
    module, other = prepared("qat"), prepared("qat")
    for each in (module, other):
        calibrate_(each, [(IMAGES,)])
    freeze_batch_norm_(module)
    other.load_state_dict(module.state_dict())
    before = state(other, "running_mean")
    other.train()(IMAGES)
    assert same(before, state(other, "running_mean"))


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "there is no calibration batch"),
        (
            [torch.ones(3, 4), torch.full((3, 4), torch.nan)],
            r"batch 2 \(torch.float32 \[3, 4\]\).*NaN or infinite",
        ),
        ([torch.ones(3, 5)], r"calibration batch 1 \(torch.float32 \[3, 5\]\) cannot be used"),
    ],
)
def test_data_that_cannot_be_used_is_named_and_changes_nothing(batches: list[Tensor], message: str) -> None:
    module = Scaled()
    prepare_quantization_(module, (torch.zeros(2, 4),), method="static")
    calibrate_(module, [(torch.ones(3, 4),)])
    before = state(module, "")
    with pytest.raises(UsageError, match=message):
        calibrate_(module, [(batch,) for batch in batches])
    assert same(before, state(module, ""))
