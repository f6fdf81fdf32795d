"""How long a module takes in PyTorch: the measure of those who bring none of their own."""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor, nn

from lifecycle.compress.modes import one_sample
from lifecycle.train.modes import mode_of

WARM_UP = 3


def eager_latency_ms(module: nn.Module, example: tuple[Tensor, ...], *, calls: int = 30) -> float:
    """Median time of forward at batch 1 under ``inference_mode``, in milliseconds, on torch's threads.

    What counts in production is the exported file: pass a function that measures that where you can.
    """
    inputs = one_sample(example)
    times = []
    with mode_of(module, training=False), torch.inference_mode():
        for _ in range(WARM_UP + calls):
            started = time.perf_counter()
            module(*inputs)
            times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[WARM_UP:])
