"""Manual optimization: the module steps its optimizers itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.optim import LBFGS, SGD, Adam, Optimizer
from torch.optim.lr_scheduler import StepLR

import lifecycle as pl
from lifecycle.core.errors import UsageError
from lifecycle.train.optimizer import ModuleOptimizer
from tests.train.descent import Batch, Descent, batches, descended, weights
from tests.train.small import Plain, loader, quiet


def one(module: Any) -> SGD:
    return SGD(module.parameters(), lr=0.1, momentum=0.5)


def two(module: Any) -> list[Optimizer]:
    return [SGD(module.first.parameters(), lr=0.1), Adam(module.second.parameters(), lr=0.05)]


def by_hand(module: Any, batch: Batch, batch_idx: int) -> None:
    optimizer = module.optimizers()
    optimizer.zero_grad()
    module.manual_backward(module.loss(batch))
    optimizer.step()


def manual(optimizers: Any, step: Any) -> Descent:
    return Descent(optimizers, step, automatic=False)


def test_the_same_steps_by_hand_give_the_same_weights() -> None:
    trainer, found = descended(manual(one, by_hand))
    expected, wanted = descended(Descent(one))
    assert found == wanted
    assert (
        (trainer.global_step, trainer.batch_step) == (expected.global_step, expected.batch_step) == (14, 14)
    )


def test_gradients_can_be_accumulated_by_hand() -> None:
    def step(module: Any, batch: Batch, batch_idx: int) -> None:
        module.manual_backward(module.loss(batch) / 3)
        if (batch_idx + 1) % 3 == 0 or module.trainer.is_last_batch:
            module.optimizers().step()
            module.optimizers().zero_grad()

    trainer, found = descended(manual(one, step))
    assert found == descended(Descent(one), accumulate_grad_batches=3)[1]
    # Optimizer steps are counted as they are made; for loggers every batch is a step.
    assert (trainer.global_step, trainer.batch_step) == (6, 14)


def test_every_optimizers_steps_count() -> None:
    seen = []

    def step(module: Any, batch: Batch, batch_idx: int) -> None:
        for optimizer in module.optimizers():
            optimizer.zero_grad()
            module.manual_backward(module.loss(batch))
            optimizer.step()
            seen.append(module.global_step)

    trainer, _ = descended(manual(two, step), max_epochs=1)
    assert seen == list(range(1, 15)) and trainer.global_step == 14
    assert [type(optimizer) for optimizer in trainer.optimizers] == [SGD, Adam]
    # A limit of steps counts them too, and is looked at after each batch.
    assert descended(manual(two, step), max_epochs=-1, max_steps=3)[0].global_step == 4


def test_what_the_module_is_given() -> None:
    given: list[Any] = []

    def step(module: Any, batch: Batch, batch_idx: int) -> None:
        given.extend([module.optimizers(), module.optimizers(use_pl_optimizer=False), module.lr_schedulers()])
        given[0].step()

    def scheduled(module: Any) -> object:
        optimizer = one(module)
        return [optimizer], [StepLR(optimizer, 1)]

    trainer, _ = descended(manual(scheduled, step), limit_train_batches=1, max_epochs=1)
    wrapped, plain, schedule = given
    assert isinstance(wrapped, ModuleOptimizer) and isinstance(wrapped, Optimizer)
    assert plain is wrapped.optimizer is trainer.optimizers[0]
    assert isinstance(schedule, StepLR)


def test_several_schedules_are_a_list_and_none_is_none() -> None:
    given: list[Any] = []

    def scheduled(module: Any) -> object:
        optimizer = one(module)
        return [optimizer], [StepLR(optimizer, 1), {"scheduler": StepLR(optimizer, 2), "interval": "step"}]

    def step(module: Any, batch: Batch, batch_idx: int) -> None:
        given.append(module.lr_schedulers())

    descended(manual(scheduled, step), limit_train_batches=1, max_epochs=1)
    descended(manual(one, step), limit_train_batches=1, max_epochs=1)
    assert [type(schedule) for schedule in given[0]] == [StepLR, StepLR]
    assert given[1] is None


def test_schedules_step_when_the_module_steps_them() -> None:
    def scheduled(module: Any) -> object:
        optimizer = one(module)
        return [optimizer], [StepLR(optimizer, 1, gamma=0.5)]

    def step(module: Any, batch: Batch, batch_idx: int) -> None:
        by_hand(module, batch, batch_idx)
        if module.trainer.is_last_batch:
            module.lr_schedulers().step()

    assert descended(manual(scheduled, step))[1] == descended(Descent(scheduled))[1]


def test_a_closure_is_called_by_the_optimizer() -> None:
    def lbfgs(module: Any) -> LBFGS:
        return LBFGS(module.parameters(), lr=0.05, max_iter=3)

    def step(module: Any, batch: Batch, batch_idx: int) -> None:
        optimizer = module.optimizers()

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss: torch.Tensor = module.loss(batch)
            module.manual_backward(loss)
            return loss

        optimizer.step(closure=closure)

    assert descended(manual(lbfgs, step))[1] == descended(Descent(lbfgs))[1]


def test_gradients_are_clipped_by_hand() -> None:
    def step(module: Any, batch: Batch, batch_idx: int) -> None:
        optimizer = module.optimizers()
        optimizer.zero_grad()
        module.manual_backward(module.loss(batch))
        module.clip_gradients(optimizer, gradient_clip_val=0.3, gradient_clip_algorithm="norm")
        optimizer.step()

    assert descended(manual(one, step))[1] == descended(Descent(one), gradient_clip_val=0.3)[1]


def test_only_one_optimizers_parameters_take_gradients_while_it_is_toggled() -> None:
    seen = []

    def step(module: Any, batch: Batch, batch_idx: int) -> None:
        first, second = module.optimizers()
        for optimizer in (first, second):
            module.toggle_optimizer(optimizer)
            seen.append((module.first.weight.requires_grad, module.second.weight.requires_grad))
            module.untoggle_optimizer(optimizer)
        seen.append((module.first.weight.requires_grad, module.second.weight.requires_grad))

    module = manual(two, step)
    module.first.bias.requires_grad_(False)
    descended(module, limit_train_batches=1, max_epochs=1)
    assert seen == [(True, False), (False, True), (True, True)]
    assert not module.first.bias.requires_grad  # what was frozen stays so


def test_what_the_step_returns_is_given_to_hooks() -> None:
    class See(pl.Callback):
        def __init__(self) -> None:
            self.given: list[Any] = []

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *given: Any) -> None:
            self.given.append(outputs)

    def step(module: Any, batch: Batch, batch_idx: int) -> Any:
        loss = module.loss(batch)
        return (None, loss, {"loss": loss, "more": 1}, {"more": 2})[batch_idx]

    see = See()
    descended(manual(one, step), callbacks=[see], limit_train_batches=4, max_epochs=1)
    assert [sorted(outputs) for outputs in see.given] == [[], ["loss"], ["loss", "more"], ["more"]]
    assert not see.given[1]["loss"].requires_grad and not see.given[2]["loss"].requires_grad


def test_gradients_that_are_left_are_not_freed_by_a_validation() -> None:
    """Unlike in automatic optimization every batch ends a window for the trainer: so they are, as in Lightning."""
    found = []

    def step(module: Any, batch: Batch, batch_idx: int) -> None:
        found.append(module.second.weight.grad is None)
        module.manual_backward(module.loss(batch))

    descended(manual(one, step), val_check_interval=2, limit_train_batches=4, max_epochs=1)
    assert found == [True, False, True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"gradient_clip_val": 0.1},
            "Trainer(gradient_clip_val=0.1) clips in automatic optimization only\n"
            "Call self.clip_gradients(optimizer, …) in training_step before optimizer.step().",
        ),
        (
            {"accumulate_grad_batches": 2},
            "Trainer(accumulate_grad_batches=2) needs automatic optimization\n"
            "Step the optimizer only in every n-th batch in training_step.",
        ),
    ],
)
def test_what_the_trainer_cannot_do_is_refused(options: Any, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        descended(manual(one, by_hand), **options)
    assert str(refused.value) == message


def test_a_step_returns_a_tensor_a_dictionary_or_nothing() -> None:
    with pytest.raises(UsageError) as refused:
        descended(manual(one, lambda m, b, i: 3.0))
    assert str(refused.value) == "training_step returned float; allowed: a tensor, a dictionary, None"


def test_these_need_manual_optimization_and_a_fit() -> None:
    with pytest.raises(UsageError) as refused:
        descended(Descent(one, lambda m, b, i: m.manual_backward(m.loss(b))))
    assert str(refused.value) == "manual_backward needs self.automatic_optimization = False in __init__"
    module = manual(one, by_hand)
    for call in (module.optimizers, module.lr_schedulers):
        with pytest.raises(UsageError, match=r"^Descent belongs to no Trainer yet: this works during a fit$"):
            call()
    trainer = quiet()
    trainer.validate(module, batches(), verbose=False)
    with pytest.raises(UsageError, match=r"^manual_backward works during a fit$"):
        module.manual_backward(torch.zeros((), requires_grad=True))


def test_a_fit_by_hand_goes_on_from_a_checkpoint() -> None:
    """Gradients that wait for a step are kept too."""

    class Saves(pl.Callback):
        def on_train_batch_end(
            self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            if (trainer.current_epoch, batch_idx) == (1, 1):
                trainer.save_checkpoint("half.ckpt")

    def step(module: Any, batch: Batch, batch_idx: int) -> None:
        module.manual_backward(module.loss(batch))
        if batch_idx % 3 == 2:
            for optimizer in module.optimizers():
                optimizer.step()
                optimizer.zero_grad()

    trainer, expected = descended(manual(two, step), callbacks=[Saves()], max_epochs=3)
    again, module = quiet(max_epochs=3), manual(two, step)
    again.fit(module, batches(), batches(), ckpt_path="half.ckpt")
    assert weights(module) == expected
    assert again.global_step == trainer.global_step == 12


def test_automatic_optimizers_are_at_hand_too() -> None:
    class Asks(Plain):
        def on_train_batch_end(self, *given: Any) -> None:
            assert isinstance(self.optimizers(), ModuleOptimizer)

    quiet(limit_train_batches=1).fit(Asks(), loader())
