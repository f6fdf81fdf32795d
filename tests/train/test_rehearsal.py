from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader
from torchmetrics import MeanMetric

import lifecycle as pl
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.precision import MixedPrecision, Precision
from lifecycle.train.rehearsal import Rehearsal, untouched
from tests.train.small import loader, quiet, same, samples


class Everything(pl.Module):
    """Weights, statistics, a buffer that is replaced, dropout, a frozen part."""

    counted: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
        self.net[3].bias.requires_grad_(False)
        self.register_buffer("counted", torch.zeros(1))
        self.net[2].eval()
        self.metric = MeanMetric()

    def on_train_epoch_start(self) -> None:
        self.train()
        self.net[3].bias.requires_grad_(True)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.counted = self.counted + 1
        random.random(), np.random.rand()
        loss = mse_loss(self.net(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        self.metric.update(loss.detach())
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW([p for p in self.parameters() if p.requires_grad], lr=0.1)


def everything(trainer: pl.Trainer, module: Everything) -> dict[str, Any]:
    return copy.deepcopy(
        {
            "state": dict(module.state_dict()),
            "optimizer": trainer.optimizers[0].state_dict(),
            "gradients": [p.grad for p in module.parameters()],
            "trains": [p.requires_grad for p in module.parameters()],
            "modes": [part.training for part in module.modules()],
            "torch": torch.get_rng_state(),
            "python": random.getstate(),
            "numpy": [str(part) for part in np.random.get_state()],
            "metric": [summed(module), module.metric._update_count],
            "precision": trainer.precision_plugin.state_dict(),
            "counters": [trainer.global_step, trainer.current_epoch, trainer.should_stop],
            "metrics": {name: value.clone() for name, value in trainer.callback_metrics.items()},
            "options": [trainer.max_steps, trainer.max_epochs, trainer.num_training_batches],
        }
    )


def summed(module: Everything) -> Tensor:
    return module.metric.metric_state["mean_value"]  # type: ignore[return-value]


class Trying(Callback):
    """Rehearses in the middle of a fit."""

    def __init__(self, epoch: int, steps: int = 8) -> None:
        self.epoch = epoch
        self.steps = steps
        self.compared: list[tuple[Any, Any]] = []
        self.moved = False

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.current_epoch != self.epoch:
            return
        before = everything(trainer, pl_module)
        with untouched(trainer, pl_module):
            rehearsal = Rehearsal(trainer, pl_module, Callback())
            rehearsal.run(rehearsal.feed(trainer.train_dataloader), steps=self.steps)
            self.moved = not same(before["state"], dict(pl_module.state_dict()))
        self.compared.append((before, everything(trainer, pl_module)))


def fit(*callbacks: Callback, **options: Any) -> Everything:
    pl.seed_everything(7)
    module = Everything()
    pl.seed_everything(7)
    own = DataLoader(samples(), 4, shuffle=True, generator=torch.Generator().manual_seed(3))
    quiet(**{"max_epochs": 3, "callbacks": list(callbacks), **options}).fit(module, own)
    return module


def scaled() -> MixedPrecision:
    """With losses that are scaled, on any device."""
    return MixedPrecision("16-mixed", "cpu", GradScaler("cpu", growth_interval=5))


@pytest.mark.parametrize("precision", [Precision, scaled])
@pytest.mark.parametrize("epoch", [0, 1])
def test_nothing_is_changed_by_it(epoch: int, precision: Any) -> None:
    trying = Trying(epoch)
    module = fit(trying, plugins=precision())
    before, after = trying.compared[0]
    for name, value in before.items():
        assert same(value, after[name]), name
    assert trying.moved
    assert same(module.state_dict(), fit(plugins=precision()).state_dict())


def test_not_even_when_it_breaks() -> None:
    class Breaking(Trying):
        def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
            before = everything(trainer, pl_module)
            with pytest.raises(InterruptedError), untouched(trainer, pl_module):
                rehearsal = Rehearsal(trainer, pl_module, Callback())
                rehearsal.run(rehearsal.feed(trainer.train_dataloader), steps=3)
                raise InterruptedError
            assert same(before["state"], everything(trainer, pl_module)["state"])
            assert trainer.callbacks[0] is self

    assert same(fit(Breaking(0)).state_dict(), fit().state_dict())


def test_groups_that_the_module_adds_are_taken_back() -> None:
    class Growing(Everything):
        def on_train_epoch_start(self) -> None:
            assert self.trainer is not None
            self.net[3].bias.requires_grad_(True)
            if self.trainer.current_epoch == 0:
                self.trainer.optimizers[0].add_param_group({"params": [self.net[3].bias], "lr": 0.3})

    module = Growing()
    trainer = quiet(max_epochs=2, callbacks=[Trying(0, steps=4)])
    trainer.fit(module, loader())
    assert [group["lr"] for group in trainer.optimizers[0].param_groups] == [0.1, 0.3]


def test_the_modules_hooks_run_and_the_callbacks_do_not() -> None:
    class Hooked(Everything):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[str] = []

        def on_train_epoch_start(self) -> None:
            super().on_train_epoch_start()
            self.seen.append("epoch")

        def on_train_batch_end(self, *_: Any) -> None:
            self.seen.append("batch")

    class Counting(Callback):
        batches = 0

        def on_train_batch_end(self, *_: Any) -> None:
            self.batches += 1

    module, counting = Hooked(), Counting()
    quiet(max_epochs=1, callbacks=[Trying(0), counting]).fit(module, loader())
    rehearsed = ["epoch", *["batch"] * 6, "epoch", *["batch"] * 2]
    assert module.seen == [*rehearsed, "epoch", *["batch"] * 6]
    assert counting.batches == 6
