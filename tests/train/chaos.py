"""Trains in a process that is killed at random instants, and compares what comes out with an undisturbed run.

``python -m tests.train.chaos --kills 100`` runs all settings (``make chaos``); the suite runs a few. With
``CHAOS_ACCELERATOR=cuda`` in the environment it trains on a GPU.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

import lifecycle as pl
from lifecycle.train.callbacks import EMAWeightAveraging, ModelCheckpoint

EPOCHS, SAMPLES, BATCH = 3, 50, 4
ACCELERATOR = os.environ.get("CHAOS_ACCELERATOR", "cpu")  # children are forked: they find it here too


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What training depends on."""

    name: str
    plateau: bool = False
    accumulate: int = 1
    workers: int = 0
    workers_later: int = 0
    precision: str = "32-true"
    ema: bool = False
    save_every: int | None = 3
    val_check_interval: float = 1.0


SETTINGS = (
    Setting(name="adamw-onecycle"),
    Setting(name="sgd-plateau", plateau=True, val_check_interval=0.5),
    Setting(name="accumulate", accumulate=3, save_every=2),
    Setting(name="accumulate-plateau-ema", accumulate=3, plateau=True, ema=True, save_every=1),
    Setting(name="ema", ema=True),
    Setting(name="bf16", precision="bf16-mixed"),
    Setting(name="epochs-only", save_every=None),
    Setting(name="workers", workers=2, workers_later=2),
    Setting(name="workers-to-none", workers=2, workers_later=0, accumulate=2),
    Setting(name="none-to-workers", workers=0, workers_later=2, ema=True, precision="bf16-mixed"),
)
# Losses are scaled on GPUs only.
CUDA_SETTINGS = (*SETTINGS, Setting(name="fp16", precision="16-mixed", accumulate=2))


class Augmented(Dataset[tuple[Tensor, Tensor]]):
    """Samples that every generator changes a little."""

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(count, 8, generator=generator)
        self.targets = (self.inputs.sum(dim=1) > 0).long()

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        noise = random.gauss(0, 0.1) + np.random.normal(0, 0.1) + 0.1 * torch.randn(8)
        return self.inputs[index] + noise.float(), self.targets[index]


class Classifier(pl.Module):
    """Dropout, batch normalisation, and every kind of logging."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        from torchmetrics.classification import MulticlassAccuracy

        self.setting = setting
        self.net = nn.Sequential(
            nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2)
        )
        self.accuracy = MulticlassAccuracy(2)
        self.val_accuracy = MulticlassAccuracy(2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.net(inputs)  # type: ignore[no-any-return]

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        logits = self(batch[0])
        loss = cross_entropy(logits, batch[1])
        self.accuracy(logits.float(), batch[1])
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        self.log("train_acc", self.accuracy, on_step=True, on_epoch=True)
        self.log("noise", random.random() + np.random.rand() + torch.rand(()), reduce_fx="max", on_epoch=True)
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        logits = self(batch[0])
        self.val_accuracy(logits.float(), batch[1])
        self.log("val_loss", cross_entropy(logits, batch[1]))
        self.log("val_acc", self.val_accuracy)

    def configure_optimizers(self) -> Any:
        if self.setting.plateau:
            sgd = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
            scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(sgd, patience=0, factor=0.5)
            return {"optimizer": sgd, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}
        assert self.trainer is not None
        adam = torch.optim.AdamW(self.parameters(), lr=0.01)
        steps = int(self.trainer.estimated_stepping_batches)
        cycle = torch.optim.lr_scheduler.OneCycleLR(adam, max_lr=0.01, total_steps=steps)
        return [adam], [{"scheduler": cycle, "interval": "step"}]


class Journal:
    """A logger whose lines survive a kill: each number is on disk before training goes on."""

    name, version, save_dir = "journal", 0, None

    def __init__(self, path: Path) -> None:
        self._path = path

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        line = json.dumps([step, {name: float(value).hex() for name, value in metrics.items()}])
        with self._path.open("a") as file:
            file.write(line + "\n")

    @staticmethod
    def read(path: Path) -> dict[tuple[str, int], str]:
        """The last value of each (name, step); a line that a kill has torn does not count."""
        found: dict[tuple[str, int], str] = {}
        for line in path.read_text().splitlines():
            try:
                step, metrics = json.loads(line)
            except ValueError:
                continue
            found |= {(name, step): value for name, value in metrics.items()}
        return found


class Started(pl.Callback):
    """Tells when training begins."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._path.touch()


def train(setting: Setting, folder: Path, workers: int) -> None:
    """Train from the newest checkpoint in a folder, if there is one, and write down what comes out."""
    torch.set_num_threads(1)
    pl.seed_everything(7)
    module = Classifier(setting)
    callbacks: list[Any] = [
        Started(folder / "started"),
        ModelCheckpoint(folder, filename="epoch", save_last=True),
    ]
    if setting.save_every:
        callbacks.append(
            ModelCheckpoint(folder, filename="step", every_n_train_steps=setting.save_every, save_top_k=1)
        )
    if setting.ema:
        callbacks.append(EMAWeightAveraging(decay=0.9))
    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        accelerator=ACCELERATOR,
        precision=setting.precision,  # type: ignore[arg-type]
        accumulate_grad_batches=setting.accumulate,
        val_check_interval=setting.val_check_interval,
        log_every_n_steps=1,
        logger=Journal(folder / "journal"),
        callbacks=callbacks,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    loaders = [
        DataLoader(Augmented(count), BATCH, shuffle=shuffle, num_workers=workers)
        for count, shuffle in ((SAMPLES, True), (12, False))
    ]
    trainer.fit(module, *loaders, ckpt_path="last")
    optimizer = trainer.optimizers[0].state_dict()
    everything = [module.state_dict(), optimizer, dict(trainer.callback_metrics), trainer.global_step]
    (folder / "result").write_text(digest(everything))


def digest(item: object) -> str:
    """SHA-256 of everything in nested tensors and plain values, to the bit."""
    hasher = hashlib.sha256()

    def add(part: object) -> None:
        if isinstance(part, Tensor):
            hasher.update(f"{part.dtype}{tuple(part.shape)}".encode())
            hasher.update(part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(part, Mapping):
            for key in part:
                hasher.update(repr(key).encode())
                add(part[key])
        elif isinstance(part, Sequence) and not isinstance(part, str):
            for value in part:
                add(value)
        else:
            hasher.update(repr(part).encode())

    add(item)
    return hasher.hexdigest()


def in_child(setting: Setting, folder: Path, workers: int, kill_after_s: float | None) -> tuple[bool, float]:
    """Train in a process of its own; whether it came to its end, and how long it trained, in seconds."""
    started = folder / "started"
    started.unlink(missing_ok=True)
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.setpgid(0, 0)
            train(setting, folder, workers)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    begun = time.monotonic()
    while not started.exists():
        if (done := os.waitpid(pid, os.WNOHANG)) != (0, 0):
            if started.exists() and not done[1]:
                return True, 0.0  # faster than this loop
            raise RuntimeError(f"{setting.name}: training ended with status {done[1]} before it began")
        time.sleep(0.001)
        if time.monotonic() - begun > 120:
            raise RuntimeError(f"{setting.name}: training did not begin")
    begun = time.monotonic()
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError(f"{setting.name}: training failed")
    return os.WIFEXITED(status), time.monotonic() - begun


def undisturbed(setting: Setting, folder: Path) -> float:
    """Train without a kill; returns how long it took, in seconds."""
    folder.mkdir(parents=True)
    finished, duration_s = in_child(setting, folder, setting.workers, None)
    assert finished
    return duration_s


def disturbed(setting: Setting, folder: Path, duration_s: float, kills: int, chance: random.Random) -> int:
    """Train with so many kills at most, then to the end; returns how many hit."""
    folder.mkdir(parents=True)
    workers, hit = setting.workers, 0
    for _ in range(kills):
        finished, _ = in_child(setting, folder, workers, chance.uniform(0, duration_s / kills * 1.5))
        if finished:
            return hit
        hit += 1
        workers = setting.workers_later
    in_child(setting, folder, workers, None)
    return hit


def same(reference: Path, folder: Path) -> bool:
    """Whether weights, optimizer, metrics and everything logged are alike to the bit."""
    return (reference / "result").read_text() == (folder / "result").read_text() and Journal.read(
        reference / "journal"
    ) == Journal.read(folder / "journal")


def campaign(settings: Sequence[Setting], kills: int, root: Path, seed: int) -> int:
    """Kill until there were `kills` in all; returns how many trials ended otherwise than undisturbed."""
    chance, references = random.Random(seed), {}
    for setting in settings:
        references[setting.name] = undisturbed(setting, root / setting.name / "undisturbed")
    hit = wrong = trial = 0
    while hit < kills:
        setting = settings[trial % len(settings)]
        folder = root / setting.name / f"trial-{trial}"
        hit += disturbed(setting, folder, references[setting.name], chance.choice((1, 2, 3)), chance)
        if not same(root / setting.name / "undisturbed", folder):
            wrong += 1
            print(f"{setting.name}: trial {trial} differs: {folder}", file=sys.stderr)
        trial += 1
        print(f"{hit} kills, {trial} trials, {wrong} differ", file=sys.stderr)
    return wrong


def main() -> None:
    """Run every setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr)
    root = Path(tempfile.mkdtemp(prefix="chaos-"))
    settings = SETTINGS if ACCELERATOR == "cpu" else CUDA_SETTINGS
    wrong = campaign(settings, options.kills, root, options.seed)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
