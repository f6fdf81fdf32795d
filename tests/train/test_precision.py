from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.functional import mse_loss
from torch.nn.utils import clip_grad_norm_

from lifecycle.core.errors import UsageError
from lifecycle.train.precision import (
    DoublePrecision,
    HalfPrecision,
    MixedPrecision,
    Precision,
    precision_of,
)
from tests.train.small import quiet, same

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda", 0), torch.device("mps", 0)


@pytest.mark.parametrize(
    ("given", "name", "kind"),
    [
        (None, "32-true", Precision),
        (32, "32-true", Precision),
        ("32", "32-true", Precision),
        ("32-true", "32-true", Precision),
        (64, "64-true", DoublePrecision),
        ("64", "64-true", DoublePrecision),
        ("64-true", "64-true", DoublePrecision),
        ("16-true", "16-true", HalfPrecision),
        ("bf16-true", "bf16-true", HalfPrecision),
        ("bf16", "bf16-mixed", MixedPrecision),
        ("bf16-mixed", "bf16-mixed", MixedPrecision),
    ],
)
def test_everything_that_lightning_takes_is_taken(given: object, name: str, kind: type) -> None:
    found = precision_of(given, CPU)
    assert (found.name, type(found)) == (name, kind)
    assert found.plain is (kind is Precision)
    assert found.scales is False


@pytest.mark.parametrize("given", [16, "16", "16-mixed"])
def test_a_bare_16_is_mixed_precision_with_scaled_losses(given: object) -> None:
    found = precision_of(given, MPS)
    assert isinstance(found, MixedPrecision)
    assert (found.name, found.device, found.scales) == ("16-mixed", "mps", True)


def test_16_mixed_on_a_cpu_warns_and_computes_in_bfloat16() -> None:
    with pytest.warns(
        UserWarning,
        match=r"^precision='16-mixed' computes in bfloat16 on a CPU, as 'bf16-mixed' does: float16 needs a GPU$",
    ):
        found = precision_of("16-mixed", CPU)
    assert (found.name, found.scales) == ("bf16-mixed", False)


def test_an_instance_is_taken_as_it_is() -> None:
    own = HalfPrecision("bf16-true")
    assert precision_of(own, CPU) is own


@pytest.mark.parametrize(
    ("given", "device", "message"),
    [
        (
            "bf16-mix",
            CPU,
            "precision='bf16-mix': did you mean 'bf16-mixed'? Allowed: 16, 16-mixed, 16-true, 32, 32-true, "
            "64, 64-true, bf16, bf16-mixed, bf16-true",
        ),
        (
            8,
            CPU,
            "precision=8: allowed: 16, 16-mixed, 16-true, 32, 32-true, 64, 64-true, bf16, bf16-mixed, bf16-true",
        ),
        (
            True,
            CPU,
            "precision=True: allowed: 16, 16-mixed, 16-true, 32, 32-true, 64, 64-true, bf16, bf16-mixed, "
            "bf16-true",
        ),
        (
            "transformer-engine",
            CUDA,
            "precision='transformer-engine' is not offered; the closest is precision='bf16-mixed'",
        ),
        (
            "transformer-engine-float16",
            CUDA,
            "precision='transformer-engine-float16' is not offered; the closest is precision='16-mixed'",
        ),
        (
            "bitsandbytes",
            CUDA,
            "precision='bitsandbytes' is not offered; the closest is precision='bf16-true'",
        ),
        (64, MPS, "precision='64-true': Apple's GPUs have no doubles; use accelerator='cpu'"),
    ],
)
def test_anything_else_is_refused(given: object, device: torch.device, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        precision_of(given, device)
    assert str(caught.value) == message


def test_the_classes_refuse_what_they_are_not() -> None:
    with pytest.raises(
        UsageError, match=r"^precision='64-true': did you mean '16-true'\? Allowed: 16-true, bf16-true$"
    ):
        HalfPrecision("64-true")
    with pytest.raises(UsageError, match=r"^precision='16': allowed: 16-mixed, bf16-mixed$"):
        MixedPrecision("16", "cpu")
    with pytest.raises(
        UsageError, match=r"^bf16-mixed takes no scaler: bfloat16 has the exponents of float32$"
    ):
        MixedPrecision("bf16-mixed", "cpu", GradScaler("cpu"))


# The true precisions


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)
        self.phase = nn.Parameter(torch.tensor([1j]))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.norm(self.linear(inputs)) + torch.zeros(1)  # type: ignore[no-any-return]


TRUE = [("16-true", torch.float16), ("bf16-true", torch.bfloat16), ("64-true", torch.float64)]


@pytest.mark.parametrize(("name", "dtype"), TRUE)
def test_a_true_precision_holds_throughout_a_step(name: str, dtype: torch.dtype) -> None:
    precision, module = precision_of(name, CPU), Parts()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    precision.convert_module(module)
    assert module.linear.weight.dtype == module.norm.running_mean.dtype == dtype  # type: ignore[union-attr]
    assert module.norm.num_batches_tracked.dtype == torch.int64  # type: ignore[union-attr]
    assert module.phase.is_complex() and module.phase.imag.item() == 1
    batch = precision.convert_batch({"x": torch.ones(4, 3, dtype=torch.float32), "y": torch.arange(4)})
    assert isinstance(batch, dict)
    assert batch["x"].dtype == dtype and batch["y"].dtype == torch.int64
    before = module.linear.bias.detach().clone()
    with precision.context():
        assert torch.ones(1).dtype == dtype
        outputs = module(batch["x"])
    assert outputs.dtype == dtype
    precision.scale(outputs.pow(3).sum() + outputs.sum()).backward()  # type: ignore[no-untyped-call]
    precision.unscale_(optimizer)
    module.linear.bias.grad = torch.ones_like(module.linear.bias)
    precision.step(optimizer)
    assert torch.equal(module.linear.bias, before - torch.tensor(0.1, dtype=torch.float64).to(dtype))
    assert precision.state_dict() == {}


@pytest.mark.parametrize(("name", "dtype"), TRUE)
def test_the_default_type_is_put_back_whatever_happens(name: str, dtype: torch.dtype) -> None:
    precision = precision_of(name, CPU)
    for enter in (precision.context, precision.init_context):
        with pytest.raises(ZeroDivisionError), enter():
            assert torch.get_default_dtype() == dtype
            raise ZeroDivisionError
        assert torch.get_default_dtype() == torch.float32


# Mixed precision


def test_mixed_precision_computes_in_sixteen_bits_and_keeps_weights_in_thirty_two() -> None:
    precision, module = precision_of("bf16-mixed", CPU), nn.Linear(3, 2)
    precision.convert_module(module)
    with precision.context():
        outputs = module(torch.ones(4, 3))
        assert torch.ones(1).dtype == torch.float32
    assert outputs.dtype == torch.bfloat16
    outputs.sum().backward()
    assert module.weight.dtype == torch.float32
    assert module.weight.grad is not None and module.weight.grad.dtype == torch.float32
    with precision.init_context():
        assert nn.Linear(1, 1).weight.dtype == torch.float32


def test_a_step_inside_the_context_is_seen_by_what_follows() -> None:
    """Manual optimization steps one network and goes on to compute with it in the same training_step."""
    precision, module = precision_of("bf16-mixed", CPU), nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    nn.init.ones_(module.weight)
    with precision.context():
        module(torch.ones(1, 1)).sum().backward()
        precision.step(optimizer)
        assert module(torch.ones(1, 1)).item() == 0.0


def test_what_was_computed_without_gradients_does_not_take_them_from_what_follows() -> None:
    precision, module = precision_of("bf16-mixed", CPU), nn.Linear(1, 1, bias=False)
    for no_gradients in (torch.no_grad, torch.inference_mode):
        module.zero_grad()
        with precision.context():
            with no_gradients():
                module(torch.ones(1, 1))
            module(torch.full((1, 1), 3.0)).sum().backward()
        assert module.weight.grad is not None and module.weight.grad.item() == 3.0


def fit(precision: Precision, module: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        inputs = torch.randn(8, 4, generator=generator)
        optimizer.zero_grad()
        with precision.context():
            loss = mse_loss(module(inputs), inputs.sum(dim=1, keepdim=True))
        precision.scale(loss).backward()  # type: ignore[no-untyped-call]
        precision.unscale_(optimizer)
        clip_grad_norm_(module.parameters(), 1.0)
        precision.step(optimizer)


@pytest.mark.parametrize(
    "make", [lambda: precision_of("bf16-mixed", CPU), lambda: MixedPrecision("16-mixed", "cpu", tuned())]
)
def test_a_resumed_fit_is_the_undisturbed_one_to_the_bit(make: Callable[[], Precision]) -> None:
    torch.manual_seed(0)
    fresh = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    whole, parts = copy.deepcopy(fresh), copy.deepcopy(fresh)
    precision = make()
    fit(precision, whole, torch.optim.AdamW(whole.parameters(), lr=0.05), range(12))
    first, optimizer = make(), torch.optim.AdamW(parts.parameters(), lr=0.05)
    fit(first, parts, optimizer, range(5))
    saved = {"optimizer": optimizer.state_dict(), "precision": first.state_dict()}
    second, optimizer = make(), torch.optim.AdamW(parts.parameters(), lr=0.05)
    optimizer.load_state_dict(saved["optimizer"])
    second.load_state_dict(saved["precision"])
    fit(second, parts, optimizer, range(5, 12))
    assert same(parts.state_dict(), whole.state_dict())
    assert second.state_dict() == precision.state_dict()


def tuned() -> GradScaler:
    """Changes its scale every second step, and overflows with it."""
    return GradScaler("cpu", init_scale=2.0**18, growth_interval=2)


class Weight(nn.Module):
    """A loss of weight × input, whose gradient is the input."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))


def scaled(scale: float = 1024.0) -> MixedPrecision:
    return MixedPrecision("16-mixed", "cpu", GradScaler("cpu", init_scale=scale))


def gradient(precision: Precision, weight: Weight, value: float) -> float:
    precision.scale(weight.weight * value).backward()  # type: ignore[no-untyped-call]
    assert weight.weight.grad is not None
    return weight.weight.grad.item()


def test_losses_are_scaled_and_gradients_unscaled_before_the_step() -> None:
    precision, weight = scaled(), Weight()
    optimizer = torch.optim.SGD(weight.parameters(), lr=0.5)
    assert gradient(precision, weight, 3.0) == 3 * 1024
    precision.unscale_(optimizer)
    assert weight.weight.grad is not None and weight.weight.grad.item() == 3.0
    precision.step(optimizer)
    assert weight.weight.item() == 0.5


def test_the_step_unscales_by_itself_and_runs_a_closure_before() -> None:
    precision, weight = scaled(), Weight()
    optimizer = torch.optim.SGD(weight.parameters(), lr=0.5)
    precision.step(optimizer, lambda: gradient(precision, weight, 3.0))
    assert weight.weight.item() == 0.5


def test_single_precision_hands_the_closure_to_the_optimizer() -> None:
    weight = Weight()
    optimizer = torch.optim.LBFGS(weight.parameters(), lr=0.5, max_iter=1)

    def closure() -> float:
        optimizer.zero_grad()
        return gradient(Precision(), weight, 3.0)

    assert Precision().step(optimizer, closure) == 3.0
    assert weight.weight.item() != 2.0


def test_a_step_that_overflows_is_left_out_and_the_scale_halves() -> None:
    precision, weight = scaled(), Weight()
    optimizer = torch.optim.SGD(weight.parameters(), lr=0.5)
    gradient(precision, weight, float("inf"))
    precision.step(optimizer)
    assert weight.weight.item() == 2.0
    optimizer.zero_grad()
    assert gradient(precision, weight, 3.0) == 3 * 512
    precision.step(optimizer)
    assert weight.weight.item() == 0.5


def test_optimizers_of_one_batch_step_by_one_scale() -> None:
    """Both losses are differentiated before the first optimizer overflows; the second is none the wiser."""
    precision, first, second = scaled(), Weight(), Weight()
    one, two = (torch.optim.SGD(each.parameters(), lr=0.5) for each in (first, second))
    gradient(precision, first, float("inf"))
    gradient(precision, second, 3.0)
    precision.step(one)
    precision.step(two)
    assert (first.weight.item(), second.weight.item()) == (2.0, 0.5)
    assert precision.state_dict()["scale"] == 512.0


def test_one_optimizer_may_step_several_times_in_a_batch() -> None:
    precision, weight = scaled(), Weight()
    optimizer = torch.optim.SGD(weight.parameters(), lr=0.5)
    for value in (1.0, 2.0, 3.0):
        optimizer.zero_grad()
        gradient(precision, weight, value)
        precision.step(optimizer)
    assert weight.weight.item() == 2.0 - 0.5 * 6


def test_gradients_of_several_batches_are_scaled_alike() -> None:
    precision, weight = scaled(), Weight()
    optimizer = torch.optim.SGD(weight.parameters(), lr=0.5)
    for _ in range(2):
        optimizer.zero_grad()
        gradient(precision, weight, 1.0)
        gradient(precision, weight, 2.0)
        precision.step(optimizer)
    assert weight.weight.item() == 2.0 - 0.5 * 6


def test_an_optimizer_that_unscales_in_its_kernel_can_be_clipped() -> None:
    weight, plain = Weight(), Weight()
    for each, precision in ((weight, scaled()), (plain, Precision())):
        optimizer = torch.optim.Adam(each.parameters(), lr=0.5, fused=True)
        gradient(precision, each, 3.0)
        precision.unscale_(optimizer)
        assert clip_grad_norm_(each.parameters(), 1.0).item() == 3.0
        precision.step(optimizer)
    assert weight.weight.item() == plain.weight.item() == pytest.approx(1.5)


def test_an_optimizer_without_gradients_steps_as_usual() -> None:
    precision = scaled()
    optimizer = torch.optim.SGD(Weight().parameters(), lr=0.5)
    precision.unscale_(optimizer)
    precision.step(optimizer)
    assert precision.state_dict()["scale"] == 1024.0


def test_a_loss_that_was_not_scaled_is_an_error_that_says_what_to_write() -> None:
    precision, weight = scaled(), Weight()
    optimizer = torch.optim.SGD(weight.parameters(), lr=0.5)
    gradient(precision, weight, 3.0)
    precision.step(optimizer)
    optimizer.zero_grad()
    (weight.weight * 3).backward()  # type: ignore[no-untyped-call]
    with pytest.raises(UsageError) as caught:
        precision.step(optimizer)
    assert str(caught.value) == (
        "precision='16-mixed' scales losses, and SGD was to step by the gradients of a loss that was not "
        "scaled, or that it had stepped by before\n"
        "Write self.manual_backward(loss) in place of loss.backward(), once before each step."
    )


def test_lbfgs_is_refused_where_losses_are_scaled() -> None:
    precision, weight = scaled(), Weight()
    optimizer = torch.optim.LBFGS(weight.parameters())
    with pytest.raises(UsageError) as caught:
        precision.step(optimizer, lambda: gradient(precision, weight, 3.0))
    assert str(caught.value) == (
        "LBFGS asks for the loss several times in a step, which precision='16-mixed' cannot scale; "
        "use precision='bf16-mixed' or '32-true'"
    )


def test_weights_in_float16_are_refused_where_losses_are_scaled_unless_frozen() -> None:
    module = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1).half())
    with pytest.raises(UsageError) as caught:
        scaled().convert_module(module)
    assert str(caught.value) == (
        "precision='16-mixed' keeps weights in float32, and 1.weight is in float16\n"
        "Leave out .half(), or train in float16 throughout: precision='16-true'."
    )
    module[1].requires_grad_(False)
    scaled().convert_module(module)


def test_a_copy_made_between_steps_goes_on_by_itself() -> None:
    precision, weight = scaled(), Weight()
    gradient(precision, weight, float("inf"))
    precision.step(torch.optim.SGD(weight.parameters(), lr=0.5))
    other = copy.deepcopy(precision)
    weight.weight.grad = None
    assert gradient(other, weight, float("inf")) == float("inf")
    other.step(torch.optim.SGD(weight.parameters(), lr=0.5))
    assert (precision.state_dict()["scale"], other.state_dict()["scale"]) == (512.0, 256.0)


def test_a_checkpoint_keeps_the_scale_under_lightnings_name() -> None:
    precision, weight = scaled(), Weight()
    gradient(precision, weight, float("inf"))
    precision.step(torch.optim.SGD(weight.parameters(), lr=0.5))
    state = precision.state_dict()
    assert precision.state_key == "MixedPrecision"
    assert state == {
        "scale": 512.0,
        "growth_factor": 2.0,
        "backoff_factor": 0.5,
        "growth_interval": 2000,
        "_growth_tracker": 0,
    }
    other = scaled()
    other.load_state_dict({})
    other.load_state_dict(state)
    assert gradient(other, Weight(), 3.0) == 3 * 512
    MixedPrecision("bf16-mixed", "cpu").load_state_dict(state)


def test_a_trainer_tells_which_it_has() -> None:
    assert quiet(precision="bf16").precision_plugin.precision == "bf16-mixed"
