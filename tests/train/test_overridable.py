from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

import lifecycle as pl
from lifecycle.core.errors import UsageError
from tests.train.small import Plain


@pytest.mark.parametrize("name", ["training_step", "validation_step", "test_step", "configure_optimizers"])
def test_what_only_a_user_can_write_is_asked_for(name: str) -> None:
    with pytest.raises(UsageError, match=rf"^Module defines no {name}"):
        getattr(pl.Module(), name)()


@pytest.mark.parametrize("split", ["train", "val", "test", "predict"])
def test_loaders_are_not_there_unless_they_are_written(split: str) -> None:
    with pytest.raises(NotImplementedError):
        getattr(pl.Module(), f"{split}_dataloader")()


def test_a_prediction_is_what_forward_gives() -> None:
    module = Plain().eval()
    inputs = torch.ones(2, 4)
    assert torch.equal(module.predict_step(inputs, 0), module(inputs))  # type: ignore[arg-type]


def test_hooks_do_nothing_by_themselves() -> None:
    module: Any = pl.Module()
    given: dict[str, tuple[Any, ...]] = {
        "on_train_batch_start": (None, 0),
        "on_validation_batch_end": (None, None, 0),
        "on_save_checkpoint": ({},),
        "setup": ("fit",),
        "configure_model": (),
    }
    assert {name: getattr(module, name)(*arguments) for name, arguments in given.items()} == dict.fromkeys(
        given
    )
    assert module.configure_callbacks() == []
    assert (
        module.on_before_batch_transfer("batch", 0) == module.on_after_batch_transfer("batch", 0) == "batch"
    )


def test_the_pieces_of_a_step_do_what_they_say() -> None:
    module = Plain()
    optimizer = SGD(module.parameters(), lr=1.0)
    called: list[str] = []

    def closure() -> None:
        called.append("closure")
        module.backward(module(torch.ones(1, 4)).sum())

    before = module.net[3].bias.detach().clone()
    module.optimizer_step(0, 0, optimizer, closure)
    assert called == ["closure"]
    assert torch.equal(module.net[3].bias.detach(), before - 1.0)
    module.configure_gradient_clipping(optimizer, 0.25, "value")
    assert max(float(p.grad.abs().max()) for p in module.parameters() if p.grad is not None) <= 0.25
    module.optimizer_zero_grad(0, 0, optimizer)
    assert all(parameter.grad is None for parameter in module.parameters())


def test_schedulers_are_given_a_metric_if_they_follow_one() -> None:
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    module, step = pl.Module(), StepLR(optimizer, 1, gamma=0.5)
    optimizer.step()
    module.lr_scheduler_step(step, None)
    assert optimizer.param_groups[0]["lr"] == 0.5
    plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    for value in (1.0, 2.0):
        module.lr_scheduler_step(plateau, value)
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_modes_of_a_validation() -> None:
    module = Plain()
    for kind in ("validation", "test", "predict"):
        module.train()
        getattr(module, f"on_{kind}_model_eval")()
        assert not any(part.training for part in module.modules())
    for kind in ("validation", "test"):
        module.eval()
        getattr(module, f"on_{kind}_model_train")()
        assert all(part.training for part in module.modules())


def test_the_way_back_from_a_validation_may_be_ones_own() -> None:
    from tests.train.small import loader, quiet

    class Frozen(Plain):
        def on_validation_model_train(self) -> None:
            self.net[3].train()

    module = Frozen()
    quiet().validate(module, loader(), verbose=False)
    assert [part.training for part in (module, module.net[0], module.net[3])] == [False, False, True]


def test_a_batch_is_brought_to_a_device() -> None:
    batch = pl.Module().transfer_batch_to_device([torch.ones(1), "words"], torch.device("meta"), 0)
    assert batch[0].device.type == "meta" and batch[1] == "words"
