"""Fits in manual optimization, for the tests of several processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import lifecycle as pl
from lifecycle.strategies import FSDPStrategy
from tests.train.strategies.ranks import Classifier, Counted, batches, trainer, weights


class Manual(Classifier):
    """Steps itself, and gives some parameters no gradients in every other batch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: list[Tensor], batch_idx: int) -> None:  # type: ignore[override]
        optimizer = self.optimizers()
        logits = self(batch[0]) if batch_idx % 2 else self.net[4](torch.zeros(len(batch[0]), 8))
        optimizer.zero_grad()
        self.manual_backward(cross_entropy(logits, batch[1]))
        optimizer.step()


def manual(folder: Path) -> Any:
    module = Manual()
    trainer(folder).fit(module, batches(8, 24))
    return weights(module)


class Adversaries(pl.Module):
    """Two optimizers that take turns, one of them with gradients of two batches; layers in a container."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(11)
        self.automatic_optimization = False
        self.nets = nn.ModuleDict(
            {"made": nn.Sequential(nn.Linear(6, 6), nn.Tanh()), "told": nn.Linear(6, 1)}
        )

    def training_step(self, batch: list[Tensor], batch_idx: int) -> None:  # type: ignore[override]
        first, second = self.optimizers()
        self.toggle_optimizer(first)
        self.manual_backward(-self.nets["told"](self.nets["made"](batch[0])).tanh().mean())
        first.step()
        first.zero_grad()
        self.untoggle_optimizer(first)
        self.toggle_optimizer(second)
        made = self.nets["made"](batch[0]).detach()
        self.manual_backward((self.nets["told"](made) - self.nets["told"](batch[0])).tanh().mean() / 2)
        if batch_idx % 2:
            second.step()
            second.zero_grad()
        self.untoggle_optimizer(second)

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(net.parameters(), lr=0.3) for net in self.nets.values()]


def manual_divided(folder: Path) -> Any:
    """Each layer by itself, as far as no policy puts it into a part: gradients are there when a step is made."""
    found = {}
    for name, made, policy in (
        ("whole", Manual, ()),
        ("parts", Manual, {nn.Linear}),
        ("two", Adversaries, ()),
        ("mixed", Adversaries, {nn.Sequential}),
    ):
        strategy = FSDPStrategy(auto_wrap_policy=policy) if "RANK" in os.environ else "auto"  # type: ignore[arg-type]
        module, used = made(), trainer(folder, strategy=strategy)  # type: ignore[abstract]
        used.fit(module, batches(8, 24))
        state = used.strategy.state_dict(module)
        found[name] = [float(v) for p in state.values() for v in p.double().flatten()]
    return found


class Scaled(nn.Module):
    """Has a parameter beside those of its layers, and one that two of them share."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(6))
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.layers[1].weight = self.layers[0].weight

    def forward(self, inputs: Tensor) -> Tensor:
        for layer in self.layers:
            inputs = torch.tanh(layer(inputs)) * self.scale
        return inputs


class Tied(Manual):
    """What shares a parameter is put together by the module around it; a policy may have a part within that."""

    def __init__(self, *, within: bool) -> None:
        super().__init__()
        self.net = nn.Sequential(Scaled() if within else nn.Identity(), nn.Linear(6, 2))
        self.loose = nn.ParameterList() if within else nn.ParameterList([nn.Parameter(torch.ones(1))])
        self.pair = nn.ModuleList() if within else nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 6)])
        if not within:
            self.pair[1].weight = self.pair[0].weight

    def training_step(self, batch: list[Tensor], batch_idx: int) -> None:  # type: ignore[override]
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(cross_entropy(self(batch[0]), batch[1]))
        optimizer.step()


def manual_tied(folder: Path) -> Any:
    found = []
    for policy in ((), {"Scaled"}):
        torch.manual_seed(2)
        strategy = FSDPStrategy(auto_wrap_policy=policy) if "RANK" in os.environ else "auto"
        module, used = Tied(within=True), trainer(folder, strategy=strategy)
        used.fit(module, batches(8, 24))
        state = used.strategy.state_dict(module)
        found.append([float(v) for p in state.values() for v in p.double().flatten()])
    return found


def manual_nested(folder: Path) -> Any:
    """A part of the policy that lies in a module with parameters of its own."""
    torch.manual_seed(2)
    strategy = FSDPStrategy(auto_wrap_policy={"Counted"}) if "RANK" in os.environ else "auto"
    module, used = Tied(within=True), trainer(folder, strategy=strategy)
    scaled: Any = module.net[0]
    scaled.layers[2] = Counted(6, 6)
    used.fit(module, batches(8, 24))
    return [float(v) for p in used.strategy.state_dict(module).values() for v in p.double().flatten()]


def manual_own_parameters(folder: Path) -> Any:
    module = Tied(within=False)
    module.scale = nn.Parameter(torch.ones(1))
    trainer(folder, strategy="fsdp").fit(module, batches(8, 24))
