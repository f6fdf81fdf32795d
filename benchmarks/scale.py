"""What training in several processes costs over a hand-written loop around DistributedDataParallel.

On the processor: two processes that meet over gloo, each with one thread. The hand-written loop has the same
duties: it keeps the loss of each step, looks at it every 50 steps, and the first process writes it to a file.
Both loops run in the same processes, ten steps of the one after ten of the other, so that whatever disturbs
the machine disturbs both; a ratio is that of a whole epoch, its end included, by the clock and by the time
that the processors worked. Function calls and exchanges of a step, which do not vary, are counted by
``tests/train/strategies/test_ranks.py``. On a CUDA device, where there is one: ResNet-50 in bfloat16,
channels last, on batches that lie on the device; in one process, and in one that meets itself over NCCL.
Times are ratios of neighbours, as in ``trainer.py``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from figures.figure import Bar, Figure
from figures.handover import hand_over
from figures.spread import ends
from scale_gpu import on_gpu
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset
from trainer import interval, quiet

import lifecycle as pl
from lifecycle.loggers import CSVLogger

STEPS, BATCH, TURN, LOOK = 200, 64, 10, 50


def layers() -> nn.Module:
    """A network whose step takes some milliseconds on one core."""
    return nn.Sequential(nn.Linear(128, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


def loader() -> DataLoader[Any]:
    """The batches of one process."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(STEPS * BATCH, 128, generator=generator)
    return DataLoader(TensorDataset(inputs, torch.zeros(len(inputs), dtype=torch.long)), BATCH)


class Model(pl.Module):
    """Logs its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = layers()

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch."""
        loss = cross_entropy(self.layers(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """As in the hand-written loop."""
        return torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9)


def by_hand(data: DataLoader[Any], file: Path) -> Iterator[None]:
    """The loop that one would write around DistributedDataParallel; pauses after each turn."""
    model = DistributedDataParallel(layers())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    step = 0
    while True:
        for x, y in data:
            loss = cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            kept = loss.detach()
            if step % LOOK == 0 and math.isfinite(value := kept.item()) and dist.get_rank() == 0:
                with file.open("a") as lines:
                    lines.write(f"{step},{value}\n")
            if step % TURN == 0:
                yield


class Turns(pl.Callback):
    """Lets the hand-written loop take its turn after each of the trainer's, and times both.

    Attributes:
        epochs: Seconds of each, by the clock and of work: the trainer's, and those by hand.
    """

    def __init__(self, hand: Iterator[None]) -> None:
        self.hand = hand
        self.epochs: list[list[float]] = []
        self._epoch = [0.0] * 4
        self._since = (0.0, 0.0)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Take turns."""
        if batch_idx % TURN:
            return
        ours = _clocks()
        if self._since[0]:
            self._add(0, self._since, ours)
        if batch_idx == 0 and self._since[0]:  # the end of the epoch before was its own
            self.epochs.append(self._epoch)
            self._epoch = [0.0] * 4
        next(self.hand)
        self._since = _clocks()
        self._add(2, ours, self._since)

    def _add(self, place: int, start: tuple[float, float], end: tuple[float, float]) -> None:
        self._epoch[place] += end[0] - start[0]
        self._epoch[place + 1] += end[1] - start[1]


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def on_processor(root: Path, repeats: int) -> None:
    """One of the two processes; the first writes what it found."""
    torch.set_num_threads(1)
    data = loader()
    turns = Turns(by_hand(data, root / "by_hand.csv"))
    pl.Trainer(
        max_epochs=repeats + 2,  # the first is not counted, and the last has no end
        accelerator="cpu",
        callbacks=[turns],
        logger=CSVLogger(root),
        log_every_n_steps=LOOK,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,  # both read the same batches
        default_root_dir=root,
    ).fit(Model(), data)
    epochs = turns.epochs[1:]
    if dist.get_rank() == 0:
        found = {
            "ratio": interval([ours / hand for ours, _, hand, _ in epochs]),
            "work": interval([ours / hand for _, ours, _, hand in epochs]),
            "whole": sum(epoch[0] for epoch in epochs) / sum(epoch[2] for epoch in epochs),
            "step_ms": min(epoch[2] for epoch in epochs) / STEPS * 1e3,
        }
        (root / "cpu.json").write_text(json.dumps(found))


def forked(count: int, work: Callable[[], None]) -> None:
    """Run something in processes that find each other as torchrun's would."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = []
    for rank in range(count):
        pid = os.fork()
        if pid:
            children.append(pid)
            continue
        status = 1
        try:
            os.environ |= {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(count),
                "LOCAL_WORLD_SIZE": str(count),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            }
            work()
            status = 0
        finally:
            os._exit(status)
    if any(os.waitpid(pid, 0)[1] for pid in children):
        raise SystemExit("a process failed")


def figures_of(found: dict[str, Any]) -> list[Figure]:
    """What was found, beside what is aimed at."""
    figures = []
    if "cpu" in found:
        cases = (
            ("time of a step", "ratio", Bar(sign="<=", limit=1.03)),
            ("work of the processor", "work", None),
        )
        for table, key, bar in cases:
            common = {"table": table, "row": "two processes, gloo", "over": "a hand-written DDP loop"}
            figures.append(Figure(**common, unit="×", bar=bar, **ends(found["cpu"][key])))
    if "cuda" in found:
        bar = Bar(sign="<=", limit=1.01)
        for name, times in found["cuda"]["times"].items():
            common = {"row": f"ResNet-50, `{name}`", "over": "a hand-written loop", "unit": "×", "bar": bar}
            figures.append(Figure(table="time of a step", **common, **ends(times)))
            memory = found["cuda"]["memory"][name]
            figures.append(Figure(table="peak memory of the device", **common, value=memory))
        for name, count in found["cuda"]["syncs"].items():
            table, bar = "host synchronisations a step", Bar(sign="<=", limit=0)
            figures.append(Figure(table=table, row=f"`{name}`", value=count, bar=bar))
    return figures


def main() -> None:
    """Measure, print a table, and write it as JSON where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--part", choices=("all", "cpu", "cuda"), default="all")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, quiet():
        if options.part != "cuda":
            forked(2, lambda: on_processor(Path(folder), options.repeats))
            found["cpu"] = json.loads(Path(folder, "cpu.json").read_text())
        if options.part != "cpu" and torch.cuda.is_available():
            found["cuda"] = on_gpu(Path(folder), options.repeats)
    if "cpu" in found:
        middle, low, high = found["cpu"]["ratio"]
        print("two processes on the processor, over a hand-written loop around DistributedDataParallel")
        print(f"  time of a step (median, 95 % interval)  {middle:.3f}  [{low:.3f}, {high:.3f}]")
        middle, low, high = found["cpu"]["work"]
        print(f"  work of the processor                   {middle:.3f}  [{low:.3f}, {high:.3f}]")
        print(f"  all epochs together, by the clock       {found['cpu']['whole']:.3f}")
        print(f"  a step of the hand-written loop         {found['cpu']['step_ms']:.2f} ms")
    if "cuda" in found:
        print(f"\n{torch.cuda.get_device_name()}, torch {torch.__version__}: ResNet-50, bf16, channels last")
        for name, (middle, low, high) in found["cuda"]["times"].items():
            memory = found["cuda"]["memory"][name]
            once = found["cuda"]["once_ms"][name]
            print(
                f"  {name:16} step {middle:.3f}  [{low:.3f}, {high:.3f}]  peak memory {memory:.5f}  "
                f"once, a fit {once:.0f} ms"
            )
        print(f"  host synchronisations a step            {found['cuda']['syncs']['single_device']:.3f}")
        print(f"  a step of the hand-written loop         {found['cuda']['step_ms']:.2f} ms")
    elif options.part != "cpu":
        print("\nThere is no CUDA device: nothing is measured on one.")
    hand_over(options.json, figures_of(found))


if __name__ == "__main__":
    main()
