"""One training step: what it computes, whom it asks, and that the weights are those of Lightning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import LBFGS, SGD, Adam, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

import lifecycle as pl
from lifecycle.core.errors import UsageError
from tests.train.descent import Batch, Descent, batches, descended, weights


def sgd(module: Any) -> SGD:
    return SGD(module.parameters(), lr=0.1, momentum=0.5)


def scheduled(cls: Any, config: dict[str, Any], **arguments: Any) -> Callable[[Any], object]:
    def shape(module: Any) -> object:
        optimizer = sgd(module)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cls(optimizer, **arguments), **config}}

    return shape


def adversaries(module: Any) -> list[Optimizer]:
    return [SGD(module.first.parameters(), lr=0.1), Adam(module.second.parameters(), lr=0.05)]


def taking_turns(module: Any, batch: Batch, batch_idx: int) -> None:
    """The first layer makes outputs small in every batch, the second one right in every other."""
    first, second = module.optimizers()
    module.toggle_optimizer(first)
    module.manual_backward(module(batch[0]).pow(2).mean())
    first.step()
    first.zero_grad()
    module.untoggle_optimizer(first)
    if batch_idx % 2 == 0:
        module.manual_backward(module.loss(batch))
        second.step()
        second.zero_grad()


def every_third_skipped(module: Any, batch: Batch, batch_idx: int) -> Tensor | None:
    return None if batch_idx % 3 == 1 else module.loss(batch)


STEPS = {"interval": "step"}
HALVING = {"step_size": 1, "gamma": 0.5}
# Optimizer steps, and the last layer's weights, that Lightning 2.6.6 ended with.
LIGHTNINGS: dict[str, tuple[Any, dict[str, Any], dict[str, Any], int, list[float]]] = {
    "gradient descent": (sgd, {}, {}, 14, [0.1435752771811388, 0.5150428029912874, 0.44563611646073026]),
    "Adam": (
        lambda m: Adam(m.parameters(), lr=0.05),
        {},
        {},
        14,
        [-0.043172080074250836, 0.07140485588067677, 0.17102184803144133],
    ),
    "LBFGS, which calls the step itself": (
        lambda m: LBFGS(m.parameters(), lr=0.05, max_iter=3),
        {},
        {},
        14,
        [0.632506741939723, 0.36982092768271174, -0.7763297202339073],
    ),
    "a schedule of steps": (
        scheduled(StepLR, STEPS, step_size=2, gamma=0.5),
        {},
        {},
        14,
        [0.04649877872320648, 0.16580154314272888, 0.4074683799042968],
    ),
    "a schedule of epochs": (
        scheduled(StepLR, {}, **HALVING),
        {},
        {},
        14,
        [0.21949193817514231, 0.3841986410497206, 0.38251892023022993],
    ),
    "a schedule of every third step, counted within epochs": (
        scheduled(StepLR, {**STEPS, "frequency": 3}, **HALVING),
        {},
        {},
        14,
        [0.09348654522029612, 0.2404548316356878, 0.3975788359358963],
    ),
    "a plateau of steps, after each validation": (
        scheduled(ReduceLROnPlateau, {**STEPS, "monitor": "val_loss"}, patience=0, threshold=9.0, factor=0.5),
        {},
        {"val_check_interval": 1},
        14,
        [-0.16800964283395117, -0.07925481041908335, 0.15701440938857336],
    ),
    "windows of 3, 3 and 1 batches": (
        sgd,
        {},
        {"accumulate_grad_batches": 3},
        6,
        [0.23078706217349448, 0.37327932027917665, 0.4189481602433345],
    ),
    "clipped by norm": (
        sgd,
        {},
        {"gradient_clip_val": 0.3},
        14,
        [-0.10467049934123739, -0.0003634722736538521, 0.018795809929358545],
    ),
    "clipped by value": (
        sgd,
        {},
        {"gradient_clip_val": 0.1, "gradient_clip_algorithm": "VALUE"},
        14,
        [-0.21800045469992854, -0.1289254710419965, -0.07858276367187497],
    ),
    "all of them": (
        scheduled(StepLR, STEPS, **HALVING),
        {},
        {"accumulate_grad_batches": 3, "gradient_clip_val": 0.2},
        6,
        [-0.19426090948315322, -0.09392209573486257, -0.17359443456299245],
    ),
    "some batches": (
        sgd,
        {},
        {"limit_train_batches": 4},
        8,
        [0.09749072892177817, 0.38812997801237376, 0.41841796002149056],
    ),
    "steps that end within the second epoch": (
        sgd,
        {},
        {"max_steps": 9},
        9,
        [0.06421033485559174, 0.08266025584658761, 0.4650584493848966],
    ),
    "some steps that give nothing": (
        sgd,
        {"step": every_third_skipped},
        {},
        14,
        [0.3257921379316693, 0.620303383353239, 0.30450851827464887],
    ),
    "two optimizers by hand": (
        adversaries,
        {"step": taking_turns, "automatic": False},
        {},
        22,
        [-0.521817613843706, -0.41971522204548295, -0.10291865438105],
    ),
}


@pytest.mark.parametrize("name", LIGHTNINGS)
def test_weights_are_those_of_lightning(name: str) -> None:
    optimizers, of_module, of_trainer, steps, expected = LIGHTNINGS[name]
    trainer, found = descended(Descent(optimizers, **of_module), **of_trainer)
    assert trainer.global_step == steps
    # To the last bits, which depend on how a processor adds.
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_comparison_sees_small_differences() -> None:
    _, found = descended(Descent(lambda m: SGD(m.parameters(), lr=0.1 + 1e-7, momentum=0.5)))
    assert found != pytest.approx(LIGHTNINGS["gradient descent"][4], rel=1e-9)


# Pieces that a module may override; by hand the same is done without a trainer.


def by_hand(update: Callable[[SGD, Callable[[], Tensor], int], None]) -> list[float]:
    """What two epochs make of the weights."""
    module = Descent(sgd)
    optimizer = sgd(module)
    for _ in range(2):
        for index, batch in enumerate(batches()):

            def gradients(batch: Batch = batch) -> Tensor:
                loss = module.loss(batch)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                return loss

            update(optimizer, gradients, index)
    return weights(module)


def overriding(**methods: Any) -> Descent:
    return type("Overriding", (Descent,), methods)(sgd)  # type: ignore[no-any-return]


def test_the_plain_step() -> None:
    expected = by_hand(lambda optimizer, gradients, index: optimizer.step(gradients))  # type: ignore[arg-type]
    assert descended(Descent(sgd))[1] == expected


def test_optimizer_step_may_leave_the_step_out() -> None:
    told = []

    def optimizer_step(
        self: Any, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None
    ) -> None:
        told.append((epoch, batch_idx))
        if batch_idx % 2 == 0:
            optimizer.step(closure=optimizer_closure)
        else:
            optimizer_closure()

    def every_other(optimizer: SGD, gradients: Any, index: int) -> None:
        gradients()
        if index % 2 == 0:
            optimizer.step()

    trainer, found = descended(overriding(optimizer_step=optimizer_step))
    assert found == by_hand(every_other)
    assert told == [(epoch, index) for epoch in range(2) for index in range(7)]
    # As in Lightning, every step that was due counts.
    assert trainer.global_step == 14


def test_optimizer_step_may_warm_up() -> None:
    def optimizer_step(self: Any, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any) -> None:
        optimizer.step(closure=optimizer_closure)
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * (self.trainer.global_step + 1)

    def warming(optimizer: SGD, gradients: Any, index: int) -> None:
        optimizer.step(gradients)
        warming.steps += 1  # type: ignore[attr-defined]
        optimizer.param_groups[0]["lr"] = 0.01 * warming.steps  # type: ignore[attr-defined]

    warming.steps = 0  # type: ignore[attr-defined]
    assert descended(overriding(optimizer_step=optimizer_step))[1] == by_hand(warming)


def test_optimizer_zero_grad_may_keep_gradients() -> None:
    def keep(self: Any, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        assert isinstance(optimizer, SGD)

    module = Descent(sgd)
    optimizer = sgd(module)
    for _ in range(2):
        for batch in batches():
            module.loss(batch).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    # A validation would free them.
    assert descended(overriding(optimizer_zero_grad=keep), limit_val_batches=0)[1] == weights(module)


def test_backward_may_be_another() -> None:
    def twice(self: Any, loss: Tensor, *given: Any, **named: Any) -> None:
        (2 * loss).backward(*given, **named)

    def update(optimizer: SGD, gradients: Any, index: int) -> None:
        gradients()
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad.mul_(2)
        optimizer.step()

    assert descended(overriding(backward=twice))[1] == by_hand(update)


@pytest.mark.parametrize(("val", "algorithm"), [(None, None), (0.2, None), (0.2, "norm")])
def test_clipping_may_be_another(val: float | None, algorithm: Any) -> None:
    """`clip_gradients` does as it is told, or as the trainer was."""

    def clip(
        self: Any, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        assert (gradient_clip_val, gradient_clip_algorithm) == (val, algorithm)
        if val is None:
            self.clip_gradients(optimizer, gradient_clip_val=0.2, gradient_clip_algorithm="norm")
        else:
            self.clip_gradients(optimizer)

    def clipped(optimizer: SGD, gradients: Any, index: int) -> None:
        gradients()
        clip_grad_norm_(optimizer.param_groups[0]["params"], 0.2)
        optimizer.step()

    options = {"gradient_clip_val": val, "gradient_clip_algorithm": algorithm}
    assert descended(overriding(configure_gradient_clipping=clip), **options)[1] == by_hand(clipped)


def test_clipping_in_two_ways_is_refused() -> None:
    def clip(self: Any, optimizer: Any, **told: Any) -> None:
        self.clip_gradients(optimizer, gradient_clip_val=0.5)

    with pytest.raises(UsageError) as refused:
        descended(overriding(configure_gradient_clipping=clip), gradient_clip_val=0.2)
    assert str(refused.value) == (
        "clip_gradients(gradient_clip_val=0.5) and Trainer(gradient_clip_val=0.2) do not agree: "
        "say it in one place"
    )


class Closing(SGD):
    """An optimizer of one's own, which takes gradients twice for a step."""

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        closure()
        found = closure()
        super().step()
        return found


def test_an_optimizer_of_ones_own_may_call_the_step_as_often_as_it_likes() -> None:
    seen = []

    class Counting(Descent):
        def training_step(self, batch: Batch, batch_idx: int) -> Any:
            seen.append(batch_idx)
            assert torch.is_grad_enabled()
            return super().training_step(batch, batch_idx)

    trainer, found = descended(
        Counting(lambda m: Closing(m.parameters(), lr=0.1, momentum=0.5)), max_epochs=2
    )
    assert found == descended(Descent(sgd))[1]  # the second time gives what the first did
    assert seen == [index for _ in range(2) for index in range(7) for _ in range(2)]
    assert trainer.global_step == 14


def test_lbfgs_calls_the_step_until_it_is_content() -> None:
    calls = []

    class Counting(Descent):
        def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
            calls.append(optimizer)

    descended(
        Counting(lambda m: LBFGS(m.parameters(), lr=0.05, max_iter=3)), limit_train_batches=1, max_epochs=1
    )
    assert len(calls) == 3 and all(type(call) is LBFGS for call in calls)


# What a step may return


@pytest.mark.parametrize(
    "step",
    [
        lambda m, b, i: {"loss": m.loss(b), "more": 3},
        lambda m, b, i: {"loss": m.loss(b)},
    ],
)
def test_a_dictionary_with_the_loss(step: Any) -> None:
    assert descended(Descent(sgd, step))[1] == descended(Descent(sgd))[1]


def test_a_step_may_take_the_batch_alone() -> None:
    class Alone(Descent):
        def training_step(self, batch: Batch) -> Tensor:  # type: ignore[override]
            return self.loss(batch)

        def validation_step(self, batch: Batch) -> None:  # type: ignore[override]
            self.log("val_loss", self.loss(batch))

    trainer, found = descended(Alone(sgd))
    assert found == descended(Descent(sgd))[1]
    assert "val_loss" in trainer.callback_metrics


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            lambda m, b, i: 3.0,
            "training_step returned float; allowed: a tensor, a dictionary with 'loss', None",
        ),
        (
            lambda m, b, i: {"los": m.loss(b), "more": 3},
            "training_step returned a dictionary without a tensor 'loss'; it has: los, more",
        ),
        (
            lambda m, b, i: {"loss": None},
            "training_step returned a dictionary without a tensor 'loss'; it has: loss",
        ),
        (
            lambda m, b, i: [m.loss(b)],
            "training_step returned list; allowed: a tensor, a dictionary with 'loss', None",
        ),
    ],
)
def test_a_step_that_returns_something_else_is_refused(step: Any, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        descended(Descent(sgd, step))
    assert str(refused.value) == message


def test_callbacks_are_given_the_loss_as_it_was_accumulated() -> None:
    class See(pl.Callback):
        def __init__(self) -> None:
            self.outputs: list[Any] = []

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *given: Any) -> None:
            self.outputs.append(outputs)

    once, apart = See(), See()
    descended(Descent(lambda m: SGD(m.parameters(), lr=0.0)), callbacks=[once], max_epochs=1)
    descended(
        Descent(lambda m: SGD(m.parameters(), lr=0.0), lambda m, b, i: {"loss": m.loss(b), "index": i}),
        callbacks=[apart],
        max_epochs=1,
        accumulate_grad_batches=2,
    )
    assert [list(outputs) for outputs in once.outputs] == [["loss"]] * 7
    assert all(not outputs["loss"].requires_grad for outputs in once.outputs)
    assert [outputs["index"] for outputs in apart.outputs] == list(range(7))
    halves = [float(outputs["loss"]) / 2 for outputs in once.outputs]
    assert [float(outputs["loss"]) for outputs in apart.outputs] == halves
