from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lifecycle.core.errors import LifecycleError
from lifecycle.train import finite
from lifecycle.train.finite import FiniteCheck, NonFiniteLoss
from lifecycle.train.state import FitState

NAN, INF = float("nan"), float("inf")


def training(*losses: float | Tensor, per_epoch: int = 4) -> tuple[FiniteCheck, FitState]:
    """What a loop does: one optimizer step for each batch."""
    state = FitState()
    check = FiniteCheck(state)
    go_on(check, state, *losses, per_epoch=per_epoch)
    return check, state


def go_on(check: FiniteCheck, state: FitState, *losses: float | Tensor, per_epoch: int = 4) -> None:
    for loss in losses:
        check.add(loss if isinstance(loss, Tensor) else torch.tensor(loss))
        state.global_step += 1
        state.epoch, state.batch = divmod(state.global_step, per_epoch)


def test_finite_losses_are_no_error() -> None:
    check, state = training(0.5, 1e38, -2.0)
    check.check()
    check.check()
    go_on(check, state, 0.25)
    check.check()


def test_a_loss_that_becomes_nan_is_named_with_the_last_that_was_not() -> None:
    check, _ = training(0.9, 0.75, 0.5, 0.25, 0.125, NAN, NAN, 0.5)
    with pytest.raises(NonFiniteLoss) as caught:
        check.check()
    assert str(caught.value) == (
        "the loss became nan at optimizer step 5 (epoch 1, batch 1); the last finite one was 0.125, at step 4\n"
        "Try a lower learning rate, or Trainer(gradient_clip_val=1.0). A logarithm of zero and a division by "
        "zero do it too: Trainer(detect_anomaly=True) names the operation."
    )
    assert (caught.value.global_step, caught.value.epoch, caught.value.batch) == (5, 1, 1)
    assert isinstance(caught.value, LifecycleError) and caught.value.exit_code == 1


def test_the_last_finite_one_is_known_from_checks_before() -> None:
    check, state = training(0.9, 3.0, per_epoch=2)
    check.check()
    go_on(check, state, -INF, per_epoch=2)
    with pytest.raises(NonFiniteLoss) as caught:
        check.check()
    assert caught.value.value == -INF
    assert caught.value.message == (
        "the loss became -inf at optimizer step 2 (epoch 1, batch 0); the last finite one was 3, at step 1"
    )


def test_a_first_loss_points_at_the_data() -> None:
    check, _ = training(INF)
    with pytest.raises(NonFiniteLoss) as caught:
        check.check()
    assert str(caught.value) == (
        "the first loss is inf, at optimizer step 0 (epoch 0, batch 0)\n"
        "No step had changed the weights by then: look for values in the batch that are not finite, and for a "
        "logarithm of zero or a division by zero; Trainer(detect_anomaly=True) names the operation."
    )


def test_an_error_is_raised_once() -> None:
    check, state = training(0.5, NAN)
    with pytest.raises(NonFiniteLoss):
        check.check()
    go_on(check, state, 0.5)
    check.check()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_losses_of_any_type_and_shape_may_follow_each_other(
    dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    check, state = training(0.5, torch.full(shape, 1.5, dtype=dtype))
    check.check()
    go_on(check, state, torch.full(shape, 2.5, dtype=dtype), torch.full(shape, NAN, dtype=dtype))
    with pytest.raises(
        NonFiniteLoss, match=r"^the loss became nan at .* the last finite one was 2\.5, at step 2\n"
    ):
        check.check()


def test_large_doubles_are_finite_beside_single_precision() -> None:
    check, _ = training(
        0.5, torch.tensor(1e300, dtype=torch.float64), torch.tensor([0.5], dtype=torch.bfloat16)
    )
    check.check()


def test_no_graph_is_kept() -> None:
    weight = torch.ones(1, requires_grad=True)
    check, _ = training((weight * 2).sum())
    assert not check._losses[0][0].requires_grad


def test_losses_are_looked_at_before_there_are_too_many() -> None:
    with pytest.raises(NonFiniteLoss, match=r"^the loss became nan at optimizer step 10 "):
        training(*[0.5] * 10, NAN, *[0.5] * finite._MOST)
