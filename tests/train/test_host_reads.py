"""No step reads a number from its device, or waits for a copy to it; counted, where there is no GPU too."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import lifecycle as pl
from lifecycle.plugins import MixedPrecision
from lifecycle.train.batch import move_batch
from tests.train.small import Plain, loader, quiet, seeded

READ = torch.ops.aten._local_scalar_dense.default  # what item(), float() and `if tensor:` come to


class Counting(TorchDispatchMode):
    """Counts reads, and copies by whether they are waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is READ:
            self.found["reads"] += 1
        if function is torch.ops.aten._to_copy.default and "device" in (kwargs or {}):
            self.found["unwaited" if kwargs.get("non_blocking") else "waited"] += 1
        return function(*args, **(kwargs or {}))


class Watching(pl.Callback):
    """Counts from the third batch to the last but one, as what is due at the ends of an epoch may read."""

    def __init__(self) -> None:
        self.counting = Counting()
        self.batches = 0
        self._at_work = False

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        inside = 2 <= batch_idx < trainer.num_training_batches - 1
        self.batches += inside
        if inside and not self._at_work:
            self.counting.__enter__()
        if self._at_work and not inside:
            self.counting.__exit__(None, None, None)
        self._at_work = inside


def reads(module: Any = Plain, **options: Any) -> int:
    """By a module without an Adam, which counts its steps in tensors on the processor and reads those."""
    watching = Watching()
    quiet(callbacks=[watching], **options).fit(seeded(module), loader(batch_size=2))
    assert watching.batches == 8
    return watching.counting.found["reads"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gradient_clip_val": 0.5},
        {"accumulate_grad_batches": 2},
        {"precision": "bf16-mixed"},
        {"precision": "bf16-true"},
        {"channels_last": True},
        {"fused": True, "gradient_clip_val": 0.5, "gradient_clip_algorithm": "value"},
    ],
)
def test_a_step_reads_nothing_from_its_device(options: dict[str, Any]) -> None:
    assert reads(**options) == 0


def test_scaled_losses_are_read_by_torchs_scaler_alone_and_not_where_the_kernel_unscales() -> None:
    def scaling() -> MixedPrecision:
        return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))

    assert reads(plugins=scaling()) > 0
    assert reads(plugins=scaling(), fused=True) == 0
    assert reads(plugins=scaling(), fused=True, gradient_clip_val=0.5) == 0


def test_the_count_sees_a_step_that_reads() -> None:
    class Reading(Plain):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            loss = super().training_step(batch, batch_idx)
            loss.item()
            return loss

    assert reads(Reading) == 8


def test_copies_to_a_device_are_not_waited_for() -> None:
    with Counting() as counting:
        move_batch({"a": [torch.ones(2), torch.ones(3)]}, "meta")
    assert counting.found == {"unwaited": 2}
