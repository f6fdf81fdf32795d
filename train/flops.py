"""Floating-point operations: how many a module takes, and how many a GPU could do in a second."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

# 10^12 a second in products of dense matrices, from Nvidia's data sheets (which for the newer ones state
# twice as much, for matrices that are half empty). The first row counts whose words the device's name has.
_PEAKS: tuple[tuple[str, dict[str, float]], ...] = (
    ("h200 nvl", {"float64": 30, "float32": 60, "tf32": 417.5, "float16": 835.5, "bfloat16": 835.5}),
    ("h200", {"float64": 34, "float32": 67, "tf32": 494.5, "float16": 989.5, "bfloat16": 989.5}),
    ("h100 nvl", {"float64": 30, "float32": 60, "tf32": 417.5, "float16": 835.5, "bfloat16": 835.5}),
    ("h100 pcie", {"float64": 26, "float32": 51, "tf32": 378, "float16": 756.5, "bfloat16": 756.5}),
    ("h100", {"float64": 34, "float32": 67, "tf32": 494.5, "float16": 989.5, "bfloat16": 989.5}),
    ("a100", {"float64": 9.7, "float32": 19.5, "tf32": 156, "float16": 312, "bfloat16": 312}),
    ("a10", {"float32": 31.2, "tf32": 62.5, "float16": 125, "bfloat16": 125}),
    ("l40s", {"float32": 91.6, "tf32": 183, "float16": 362, "bfloat16": 362}),
    ("l4", {"float32": 30.3, "tf32": 60, "float16": 121, "bfloat16": 121}),
    ("t4", {"float32": 8.1, "float16": 65}),
    ("v100 pcie", {"float64": 7, "float32": 14, "float16": 112}),
    ("v100", {"float64": 7.8, "float32": 15.7, "float16": 125}),
)


def measure_flops(
    model: nn.Module,
    forward_fn: Callable[[], Tensor],
    loss_fn: Callable[[Tensor], Tensor] | None = None,
) -> int:
    """Operations of one call, a multiplication and an addition counted as two.

    Nothing needs to be computed for it: make module and inputs under ``torch.device("meta")``.

    Args:
        model: What is called.
        forward_fn: Calls it.
        loss_fn: Makes a loss of what that gave, whose gradients are computed and counted too.

    >>> layer = nn.Linear(8, 4)
    >>> measure_flops(layer, lambda: layer(torch.zeros(2, 8)))
    128
    """
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter:
        outputs = forward_fn()
        if loss_fn is not None:
            loss_fn(outputs).backward()  # type: ignore[no-untyped-call]
    return counter.get_total_flops()


class StepFlops:
    """Counts the operations of the first batch's forward and backward, as they are done.

    Args:
        wanted: Whether to count them.

    Attributes:
        per_sample: Operations for each sample; 0 while they are not known.
    """

    def __init__(self, *, wanted: bool = False) -> None:
        self.per_sample = 0.0
        self._wanted = wanted
        self._depth = self._counted = 0
        self._counter: Any = None

    def begin(self) -> None:
        """A forward or backward begins; they may lie within each other."""
        if not self._wanted:
            return
        self._depth += 1
        if self._counter is None:
            from torch.utils.flop_counter import FlopCounterMode

            self._counter = FlopCounterMode(display=False)
            self._counter.__enter__()

    def end(self) -> None:
        """It ends."""
        if not self._wanted:
            return
        self._depth -= 1
        if not self._depth:
            self._counter.__exit__(None, None, None)
            self._counted += self._counter.get_total_flops()
            self._counter = None

    def settle(self, told: float | None, samples: int) -> None:
        """A batch is done: what was counted in it counts for all samples.

        Args:
            told: Operations of this batch as the module tells them, if it does.
            samples: In the batch.
        """
        if told is not None:
            self.per_sample, self._wanted = told / max(samples, 1), False
        elif self._wanted:
            self.per_sample, self._wanted = self._counted / max(samples, 1), False


def available_flops(device: torch.device, precision: str) -> float | None:
    """What a device could do in a second; None where that is not known.

    Args:
        device: Where a module computes.
        precision: As ``Trainer(precision=…)`` spells it.
    """
    if device.type != "cuda":
        return None
    kind = {"64": "float64", "16": "float16", "bf16": "bfloat16"}.get(precision.partition("-")[0], "float32")
    if kind == "float32" and torch.get_float32_matmul_precision() != "highest":
        kind = "tf32"
    return peak_flops(torch.cuda.get_device_name(device), kind)


def peak_flops(name: str, kind: str) -> float | None:
    """What the data sheet of a GPU says.

    >>> peak_flops("NVIDIA H100 80GB HBM3", "bfloat16"), peak_flops("Tesla T4", "bfloat16")
    (989500000000000.0, None)
    """
    words = set(re.split(r"[ -]", name.lower()))
    for row, peaks in _PEAKS:
        if words.issuperset(row.split()):
            return peaks[kind] * 1e12 if kind in peaks else None
    return None
