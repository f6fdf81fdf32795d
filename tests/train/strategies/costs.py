"""What a step of training in several processes takes, and what is told of it."""

from __future__ import annotations

import cProfile
import pstats
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader

import lifecycle as pl
from lifecycle.callbacks import StepTimer
from tests.train.small import Recorder
from tests.train.strategies.ranks import Classifier, samples, trainer

Run = Callable[[], object]


class Plain(Classifier):
    """Logs its loss once, and nothing that is reduced in the step."""

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        loss = cross_entropy(self.net(batch[0]), batch[1])
        self.log("loss", loss)
        return loss


def loader(steps: int) -> DataLoader[Any]:
    return DataLoader(samples(4 * steps), 4)


def by_hand(steps: int) -> Run:
    module, data = Plain(), loader(steps)
    wrapped, optimizer = DistributedDataParallel(module.net), module.configure_optimizers()

    def run() -> None:
        for x, y in data:
            loss = cross_entropy(wrapped(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def trained(folder: Path, steps: int, **options: Any) -> Run:
    used = trainer(folder, max_epochs=1, use_distributed_sampler=False, **options)
    module, data = Plain(), loader(steps)
    return lambda: used.fit(module, data)


def calls_of(run: Run) -> Counter[str]:
    """Python and C functions, by cProfile."""
    watch = cProfile.Profile()
    watch.runcall(run)
    return Counter({"calls": pstats.Stats(watch).total_calls})  # type: ignore[attr-defined]


def exchanges_of(run: Run) -> Counter[str]:
    """What processes ask of each other, with the size of what they send, by torch's profiler."""
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as found:
        run()
    return Counter(f"{e.name} {e.input_shapes}" for e in found.events() if e.name.startswith("gloo:"))


def costs(folder: Path) -> Any:
    """Of one step: what a run of 24 takes more than one of 16, so that what a fit costs once cancels out."""
    found: dict[str, Any] = {}
    for made in (lambda steps: trained(folder, steps), by_hand):
        made(4)()  # what is imported on the way is no part of a step
    for name, count in (("calls", calls_of), ("exchanges", exchanges_of)):
        for who, made in (("ours", lambda steps: trained(folder, steps)), ("hand", by_hand)):
            more, fewer = count(made(24)), count(made(16))
            more.subtract(fewer)
            found[f"{who} {name}"] = {what: number / 8 for what, number in more.items() if number}
    return found


class Slow(pl.Callback):
    """One process takes long over each batch."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_rank == self.rank:
            time.sleep(0.2)  # far more than a busy machine holds the other one up


def straggler(folder: Path) -> Any:
    """A slow process is waited for in the exchange of gradients; or before it, where buffers are sent."""
    found = []
    for rank, normalised in ((1, False), (0, True)):
        timer, logger = StepTimer(), Recorder()
        used = trainer(
            folder,
            max_epochs=1,
            callbacks=[Slow(rank), timer],
            use_distributed_sampler=False,
            log_every_n_steps=2,
        )
        used.loggers = [logger]
        used.fit(Classifier(normalised=normalised), loader(6))
        report = timer.report
        assert report is not None
        found.append(
            {
                "slowest": report.slowest,
                "lags": report.lags,
                "slow phase": report.extremes("rest")[2],
                "batches": [each.times.batches for each in report.ranks],
                "logged": [m["time/slowest_rank"] for _, m in logger.sent if "time/slowest_rank" in m],
            }
        )
    return found


def told(folder: Path) -> Any:
    """What is exchanged more with a timer that reports three times, and with one that does not."""

    def exchanged(**options: Any) -> Counter[str]:
        return exchanges_of(trained(folder, 14, logger=[Recorder()], log_every_n_steps=4, **options))

    found = exchanged(callbacks=[StepTimer()])
    found.subtract(exchanged())
    return {what: number for what, number in found.items() if number}
