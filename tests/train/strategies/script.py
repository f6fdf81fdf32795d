"""A user's script: nothing in it knows of several processes.

``python script.py FOLDER OPTIONS`` writes what it ended with to ``FOLDER/ended.json``; OPTIONS are the trainer's, as
JSON. With DIES in the environment the process of that rank dies once, in that way, in the fifth batch; with STEP_S a
step takes so many seconds longer.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import lifecycle as pl
from lifecycle.callbacks import ModelCheckpoint

BATCH = 8  # of all processes together


class Net(pl.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.25), nn.Linear(8, 1))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        time.sleep(float(os.environ.get("STEP_S", "0")))
        loss = (self.net(batch[0]) - batch[1]).square().mean()
        self.log("loss", loss, on_epoch=True, on_step=False)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.05)


class Dies(pl.Callback):
    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        how, _, rank = os.environ.get("DIES", "").partition("-")
        again = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
        if how and trainer.global_rank == int(rank) and trainer.global_step == 4 and not again:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ArithmeticError("this batch is cursed")


class TellsAgent(pl.Callback):
    """Has the process that started this one ended, or kills it, before a step, in the first one."""

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        for name, number in (("TELLS_AGENT", signal.SIGTERM), ("KILLS_AGENT", signal.SIGKILL)):
            if trainer.is_global_zero and str(trainer.global_step) == os.environ.get(name):
                os.kill(os.getppid(), number)


def main(folder: Path, options: dict[str, Any], ckpt_path: str | None = None) -> None:
    pl.seed_everything(3, verbose=False)
    inputs = torch.randn(24, 4)
    data = TensorDataset(inputs, inputs.sum(1, keepdim=True))
    net = Net()
    trainer = pl.Trainer(
        max_epochs=3,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Dies(), TellsAgent(), ModelCheckpoint(folder / "kept", every_n_train_steps=1)],
        **options,
    )
    loader = DataLoader(data, BATCH // trainer.world_size, shuffle=True)
    trainer.fit(net, loader, ckpt_path=ckpt_path)
    if trainer.is_global_zero:
        ended = {
            "weights": [float(v) for p in net.state_dict().values() for v in p.flatten()],
            "loss": float(trainer.callback_metrics["loss"]),
            "world": trainer.world_size,
            "step": trainer.global_step,
            "pid": os.getpid(),
            "seed": torch.initial_seed(),
        }
        (folder / "ended.json").write_text(json.dumps(ended))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]), *sys.argv[3:])
