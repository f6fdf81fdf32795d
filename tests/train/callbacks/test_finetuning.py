from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

import lifecycle as pl
from lifecycle.callbacks import BackboneFinetuning, BaseFinetuning
from lifecycle.core.errors import UsageError
from tests.train.callbacks.disturbed import both, differences
from tests.train.small import loader, quiet


class Transfer(pl.Module):
    """A backbone with batch norm, and a head."""

    def __init__(self, optimizer: type[Optimizer] = SGD, lr: float = 0.1) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.head = nn.Linear(8, 1)
        self.optimizer, self.lr = optimizer, lr

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return mse_loss(self.head(self.backbone(batch[0])), batch[1])

    def configure_optimizers(self) -> Any:
        trainable = [p for p in self.parameters() if p.requires_grad]
        return self.optimizer(trainable, lr=self.lr)  # type: ignore[call-arg]


def made(**arguments: Any) -> Transfer:
    pl.seed_everything(7)
    module = Transfer(**arguments)
    pl.seed_everything(7)
    return module


class Rates(pl.Callback):
    """Learning rate of each group, and what is frozen, as each epoch's first batch sees it."""

    def __init__(self) -> None:
        self.seen: list[list[float]] = []
        self.frozen: list[list[str]] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.Module, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 0:
            self.seen.append([round(group["lr"], 6) for group in trainer.optimizers[0].param_groups])
            self.frozen.append([name for name, p in pl_module.named_parameters() if not p.requires_grad])


def rates(finetuning: BackboneFinetuning, epochs: int = 5, **arguments: Any) -> Rates:
    seen = Rates()
    quiet(max_epochs=epochs, callbacks=[finetuning, seen]).fit(made(**arguments), loader())
    return seen


def test_the_backbone_joins_in_its_epoch_and_catches_up() -> None:
    seen = rates(BackboneFinetuning(unfreeze_backbone_at_epoch=1), epochs=6)
    assert seen.seen == [[0.1], [0.1, 0.01], [0.1, 0.02], [0.1, 0.04], [0.1, 0.08], [0.1, 0.1]]
    # Batch norms are trained all along.
    assert seen.frozen == [["backbone.0.weight", "backbone.0.bias"], *([[]] * 5)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"should_align": False}, [[0.1], [0.1, 0.01], [0.1, 0.05], [0.1, 0.25]]),
        ({"backbone_initial_lr": 0.003}, [[0.1], [0.1, 0.003], [0.1, 0.015], [0.1, 0.075]]),
        ({"backbone_initial_ratio_lr": 0.5}, [[0.1], [0.1, 0.05], [0.1, 0.1], [0.1, 0.1]]),
    ],
)
def test_its_learning_rate(options: dict[str, Any], expected: list[list[float]]) -> None:
    finetuning = BackboneFinetuning(unfreeze_backbone_at_epoch=1, lambda_func=lambda epoch: 5.0, **options)
    assert rates(finetuning, epochs=4).seen == expected


def test_the_factor_may_depend_on_the_epoch_to_come() -> None:
    epochs: list[int] = []

    def factor(epoch: int) -> float:
        epochs.append(epoch)
        return 1.0

    rates(BackboneFinetuning(unfreeze_backbone_at_epoch=1, lambda_func=factor), epochs=4)
    assert epochs == [3, 4]


def test_frozen_weights_stay_and_unfrozen_ones_move() -> None:
    module = made()
    before = module.backbone[0].weight.clone()
    quiet(max_epochs=2, callbacks=[BackboneFinetuning(2)]).fit(module, loader())
    assert torch.equal(module.backbone[0].weight, before)
    quiet(max_epochs=2, callbacks=[BackboneFinetuning(1)]).fit(module, loader())
    assert not torch.equal(module.backbone[0].weight, before)


def test_a_module_without_a_backbone_is_refused() -> None:
    class Headless(Transfer):
        def __init__(self) -> None:
            super().__init__()
            del self.backbone

    with pytest.raises(UsageError, match=r"needs Headless.backbone to be a module, got NoneType"):
        quiet(callbacks=[BackboneFinetuning()]).fit(Headless(), loader())


def test_freezing_and_unfreezing() -> None:
    module = made()
    BaseFinetuning.freeze(module.backbone, train_bn=False)
    linear, norm = module.backbone[0], module.backbone[1]
    assert not any(p.requires_grad for p in module.backbone.parameters())
    assert norm.track_running_stats is False
    BaseFinetuning.make_trainable([module.backbone])
    assert all(p.requires_grad for p in module.parameters()) and norm.track_running_stats
    BaseFinetuning.freeze([[linear], nn.ModuleDict({"norm": norm})], train_bn=True)
    assert [p.requires_grad for p in module.backbone.parameters()] == [False, False, True, True]
    assert list(BaseFinetuning.filter_params(module.backbone, train_bn=False)) == []
    assert len(list(BaseFinetuning.filter_params(module.backbone))) == 2
    assert len(list(BaseFinetuning.filter_params(module.backbone, requires_grad=False))) == 2


def test_modules_with_parameters_beside_their_children_are_found() -> None:
    class Parent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own = nn.Parameter(torch.zeros(1))
            self.child = nn.Linear(1, 1)

    parent, relu = Parent(), nn.ReLU()
    found = BaseFinetuning.flatten_modules(nn.Sequential(parent, nn.Sequential(relu)))
    assert [id(module) for module in found] == [id(module) for module in (parent, parent.child, relu)]
    BaseFinetuning.freeze(parent)
    assert not any(p.requires_grad for p in parent.parameters())


def test_a_group_is_added_once_and_equal_values_are_not_the_same_parameter() -> None:
    first, second = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    second.load_state_dict(first.state_dict())
    optimizer = SGD(first.parameters(), lr=0.5)
    BaseFinetuning.unfreeze_and_add_param_group(second, optimizer)
    assert optimizer.param_groups[1]["lr"] == 0.05
    assert optimizer.param_groups[1]["params"] == [second.weight]
    BaseFinetuning.unfreeze_and_add_param_group(second, optimizer)  # it is trained already
    BaseFinetuning.freeze(second)
    with pytest.warns(UserWarning, match="1 of 1 parameters that are unfrozen belong to the SGD already"):
        BaseFinetuning.unfreeze_and_add_param_group(second, optimizer)
    assert len(optimizer.param_groups) == 2


class Stepwise(BaseFinetuning):
    """Unfreezes one part in each of the first epochs."""

    def freeze_before_training(self, pl_module: pl.Module) -> None:
        self.freeze(pl_module.backbone, train_bn=False)  # type: ignore[arg-type]

    def finetune_function(self, pl_module: pl.Module, epoch: int, optimizer: Optimizer) -> None:
        if epoch in (1, 2):
            part = pl_module.backbone[2 - epoch]  # type: ignore[index]
            self.unfreeze_and_add_param_group(part, optimizer, lr=0.01 * epoch)


@pytest.mark.parametrize("before", [3, 6, 8, 12, 17, 20])
@pytest.mark.parametrize("optimizer", [SGD, Adam])
@pytest.mark.parametrize("finetuning", [Stepwise, lambda: BackboneFinetuning(1)])
def test_a_resumed_fit_trains_what_the_undisturbed_one_does(
    tmp_path: Path, before: int, optimizer: type[Optimizer], finetuning: Any
) -> None:
    whole, parts = both(
        tmp_path, lambda: [finetuning()], lambda: made(optimizer=optimizer), before=before, max_epochs=4
    )
    assert differences(whole, parts) == []
    groups = [[len(g["params"]) for g in t.optimizers[0].param_groups] for t in (whole, parts)]
    assert groups[0] == groups[1] and len(groups[0]) > 1
    frozen = [[p.requires_grad for p in t.lightning_module.parameters()] for t in (whole, parts)]  # type: ignore[union-attr]
    assert frozen[0] == frozen[1] == [True] * 6


def test_subclasses_say_what_to_do() -> None:
    with pytest.raises(UsageError, match="defines no freeze_before_training"):
        quiet(callbacks=[BaseFinetuning()]).fit(made(), loader())


def test_a_fit_that_begins_after_the_epoch_unfreezes_at_once(tmp_path: Path) -> None:
    trainer = quiet(max_epochs=3)
    trainer.fit(Frozen(), loader())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    seen = Rates()
    quiet(max_epochs=5, callbacks=[BackboneFinetuning(1), seen]).fit(
        Frozen(), loader(), ckpt_path=tmp_path / "a.ckpt"
    )
    assert seen.seen == [[0.1, 0.01], [0.1, 0.02]]


class Frozen(Transfer):
    """Trains its head alone, whoever froze the rest."""

    def __init__(self) -> None:
        super().__init__()
        BaseFinetuning.freeze(self.backbone)


@pytest.mark.parametrize(
    "schedule", [lambda o: LambdaLR(o, lambda epoch: 0.5**epoch), lambda o: CosineAnnealingLR(o, 2)]
)
def test_schedules_learn_of_the_backbone(tmp_path: Path, schedule: Any) -> None:
    class Scheduled(Transfer):
        def configure_optimizers(self) -> Any:
            optimizer = super().configure_optimizers()
            return [optimizer], [schedule(optimizer)]

    def make() -> Scheduled:
        pl.seed_everything(7)
        module = Scheduled()
        pl.seed_everything(7)
        return module

    whole, parts = both(tmp_path, lambda: [Stepwise()], make, before=15, max_epochs=6)
    assert differences(whole, parts) == []
    rates = [group["lr"] for group in whole.optimizers[0].param_groups]
    assert len(rates) == 3 and rates[0] != 0.1


def test_a_new_group_is_scheduled_as_the_first(tmp_path: Path) -> None:
    class Halving(Transfer):
        def configure_optimizers(self) -> Any:
            optimizer = super().configure_optimizers()
            return [optimizer], [LambdaLR(optimizer, lambda epoch: 0.5**epoch)]

    seen = Rates()
    quiet(max_epochs=4, callbacks=[Stepwise(), seen]).fit(Halving(), loader())
    # The parts begin with 0.01 and 0.02 in the second and the third epoch.
    assert seen.seen == [[0.1], [0.05, 0.01], [0.025, 0.0025, 0.02], [0.0125, 0.00125, 0.0025]]
