from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.core.signature import Signature, TensorSpec
from lifecycle.export.network import Network, evaluating, named_outputs, to_program
from tests.export.networks import DIGITS, PAIR, Digits, Pair, digits, images, pairs

X = Signature(
    inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 4)),),
    outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", 4)),),
)


class Calls(nn.Module):
    """Forward is whatever is given."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> object:
        return self.function(x)


def example(signature: Signature) -> dict[str, object]:
    import numpy as np

    generator = np.random.default_rng(0)
    return {spec.name: spec.random(generator, batch=2) for spec in signature.inputs}


def test_forward_and_postprocess_in_the_order_of_the_signature() -> None:
    image = torch.from_numpy(images(2)["image"])
    logits, probabilities = Network(digits(), DIGITS, images(2))(image)
    torch.testing.assert_close(probabilities, logits.softmax(dim=1))
    turned = replace(PAIR, outputs=PAIR.outputs[::-1])
    assert [list(out.shape) for out in Network(Pair(), turned, pairs(2, 3))(*_tensors(2, 3))] == [
        [2, 6],
        [2, 3, 3],
    ]


def test_outputs_of_a_tuple_take_the_first_names() -> None:
    a, b = torch.zeros(1), torch.ones(1)
    assert named_outputs((a, b), ["first", "second", "added"]) == {"first": a, "second": b}
    assert named_outputs(a, ["only"]) == {"only": a}
    assert named_outputs({"k": b}, ["only"]) == {"k": b}
    assert named_outputs((a, (b, a)), ["x", "y", "z"]) == {"x": a, "y": b, "z": a}
    assert named_outputs({"k": {"l": b}, "m": (a,)}, []) == {"k.l": b, "m.0": a}


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: (x, x), "forward gives 2 outputs, the signature declares 1"),
        (
            lambda x: {"z": x},
            "the signature declares the outputs y; forward and postprocess give z",
        ),
        (lambda x: 3, "forward gave int; allowed: a tensor, or a sequence or dictionary of tensors"),
        (lambda x: [x, [3]], "forward gave int; allowed: a tensor"),
    ],
)
def test_outputs_that_are_not_declared(function: object, message: str) -> None:
    network = Network(Calls(function), X, example(X))
    with pytest.raises(UsageError, match=re.escape(message)):
        network(torch.zeros(2, 4))


def test_postprocess_may_not_take_the_name_of_an_output() -> None:
    network = Network(Calls(lambda x: x), X, example(X), postprocess=lambda outputs: {"y": torch.zeros(1)})
    with pytest.raises(
        UsageError, match="postprocess gives 'y', which forward gives already: call it otherwise"
    ):
        network(torch.zeros(2, 4))


def test_evaluating_puts_every_mode_back() -> None:
    network = Network(digits(), DIGITS, images(2))
    network.module.train()
    network.module.head.eval()
    with evaluating(network):
        assert not any(part.training for part in network.modules())
        assert not torch.is_grad_enabled()
    assert network.module.blocks.training and not network.module.head.training
    assert torch.is_grad_enabled()


def test_branching_on_values_is_named() -> None:
    network = Network(Calls(lambda x: x * 2 if x.sum() > 0 else x), X, example(X))
    with (
        evaluating(network),
        pytest.raises(LifecycleError, match=r"torch\.export cannot trace Calls: .*data-dependent"),
    ):
        to_program(network)


def test_an_axis_that_cannot_vary_is_named() -> None:
    network = Network(Calls(lambda x: x + torch.zeros(2, 4)), X, example(X))
    with evaluating(network), pytest.raises(LifecycleError, match=r"cannot trace Calls: .*batch"):
        to_program(network)


def test_program_takes_any_batch() -> None:
    network = Network(digits(Digits), DIGITS, images(2))
    with evaluating(network):
        program = to_program(network).module()
    assert [list(out.shape) for out in program(torch.from_numpy(images(11)["image"]))] == [[11, 10], [11, 10]]


def _tensors(count: int, length: int) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(array) for array in pairs(count, length).values())
