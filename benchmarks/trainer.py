"""What a training step costs over a hand-written loop: function calls, which do not vary, and time.

``Linear(32, 2)``, batch 4, SGD, one thread; loggers, bar and checkpoints off. Times are medians of
repetitions taken in turn. Lightning is measured where it is installed (``make bench`` installs it).
"""

from __future__ import annotations

import cProfile
import json
import logging
import pstats
import sys
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch.utils.data import DataLoader, TensorDataset

import lifecycle

STEPS = 1000
REPEATS = 5
DATA = TensorDataset(torch.randn(4 * STEPS, 32), torch.randn(4 * STEPS, 2))


def raw() -> None:
    """The loop that one would write by hand."""
    model = torch.nn.Linear(32, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in DataLoader(DATA, 4):
        loss = ((model(x) - y) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def trained_by(framework: Any, logs: int, **options: Any) -> Callable[[], None]:
    """The same with a trainer; `framework` has ``LightningModule`` and ``Trainer``."""

    class Model(framework.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(32, 2)

        def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
            x, y = batch
            loss = ((self.linear(x) - y) ** 2).mean()
            for index in range(logs):
                self.log(f"loss_{index}", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def run() -> None:
        framework.Trainer(
            max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False, **options
        ).fit(Model(), DataLoader(DATA, 4))

    return run


def calls_per_step(run: Callable[[], None]) -> float:
    """Python and C function calls, by cProfile."""
    profile = cProfile.Profile()
    profile.runcall(run)
    return pstats.Stats(profile).total_calls / STEPS  # type: ignore[attr-defined, no-any-return]


def microseconds_per_step(runs: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Median over repetitions in which each is run once, in turn."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(REPEATS):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - start) / STEPS * 1e6)
    return {name: median(measured) for name, measured in times.items()}


def main() -> None:
    """Print a table, and the same as JSON on the last line."""
    torch.set_num_threads(1)
    runs = {"raw loop": raw} | {f"ours, {logs} logs": trained_by(lifecycle, logs) for logs in (0, 1, 10)}
    try:
        import lightning.pytorch as lightning
    except ImportError:
        print("Lightning is not installed: `make bench` installs it", file=sys.stderr)
    else:
        warnings.simplefilter("ignore")
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        quiet = {"enable_model_summary": False, "accelerator": "cpu"}
        runs |= {f"Lightning, {logs} logs": trained_by(lightning, logs, **quiet) for logs in (0, 1, 10)}
    for run in runs.values():
        run()
    calls = {name: calls_per_step(run) for name, run in runs.items()}
    times = microseconds_per_step(runs)
    print(f"{'':20}{'calls/step':>12}{'over raw':>10}{'us/step':>10}{'ratio':>8}")
    for name in runs:
        ratio = times[name] / times["raw loop"]
        over = calls[name] - calls["raw loop"]
        print(f"{name:20}{calls[name]:12.0f}{over:10.0f}{times[name]:10.0f}{ratio:8.2f}")
    print(json.dumps({"calls_per_step": calls, "microseconds_per_step": times}))


if __name__ == "__main__":
    main()
