"""A user's script for several machines; nothing in it knows of them.

``python script.py FOLDER OPTIONS [CKPT_PATH]`` trains with OPTIONS, the trainer's, as JSON. FOLDER, which all machines
see, gets ``ended.json`` in the end, ``rank-N.json`` from each process, and a file for each call of ``prepare_data``,
which only the first of all processes makes with PREPARES_ONCE.
With STEP_S in the environment a step takes so many seconds; with CURSED the process of that rank raises in the fourth.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import lifecycle as pl
from lifecycle.callbacks import ModelCheckpoint
from lifecycle.train.strategies import World, world_of
from tests.train.strategies.script import Net


class Slow(Net):
    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        if os.environ.get("CURSED") == str(self.global_rank) and self.global_step == 3:
            raise ArithmeticError("this batch is cursed")
        return super().training_step(batch, batch_idx)


class Data(pl.DataModule):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.prepare_data_per_node = not os.environ.get("PREPARES_ONCE")

    def prepare_data(self) -> None:
        (self.folder / f"prepared-{uuid4().hex}").write_text(os.environ.get("MACHINE", ""))

    def train_dataloader(self) -> DataLoader[Any]:
        inputs = torch.randn(48, 4, generator=torch.Generator().manual_seed(1))
        assert self.trainer is not None
        dataset = TensorDataset(inputs, inputs.sum(1, keepdim=True))
        return DataLoader(dataset, 8 // self.trainer.world_size, shuffle=True)


def main(folder: Path, options: dict[str, Any], ckpt_path: str | None = None) -> None:
    pl.seed_everything(3, verbose=False)
    net = Slow()
    trainer = pl.Trainer(
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ModelCheckpoint(folder / "kept", every_n_train_steps=1)],
        default_root_dir=folder,
        **{"max_epochs": 3, **options},
    )
    (folder / f"rank-{trainer.global_rank}.json").write_text(json.dumps(asdict(world_of() or World())))
    trainer.fit(net, datamodule=Data(folder), ckpt_path=ckpt_path)
    if trainer.is_global_zero:
        weights = [float(v) for p in net.state_dict().values() for v in p.flatten()]
        ended = {"weights": weights, "world": trainer.world_size, "step": trainer.global_step}
        (folder / "ended.json").write_text(json.dumps(ended))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]), *sys.argv[3:])
