from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lifecycle as pl
from lifecycle.core.errors import UsageError
from lifecycle.train.describe import arrays, example_inputs, signature_of


class Net(pl.Module):
    """Images and ages in; whatever `give` makes of the logits out."""

    example_input_array = (torch.zeros(3, 1, 8, 8, dtype=torch.uint8), torch.zeros(3))

    def __init__(self, give: Any = None) -> None:
        super().__init__()
        self.give = give
        self.norm = nn.BatchNorm1d(64)
        self.frozen = nn.Dropout()
        self.frozen.eval()
        self.head = nn.Linear(64, 10)

    def forward(self, image: Tensor, age: Tensor, scale: float = 1.0) -> Any:
        logits = self.head(self.norm(image.float().flatten(1))) + age[:, None]
        return self.give(logits) if self.give else logits


def outputs_of(module: pl.Module) -> list[tuple[str, str, tuple[int | str, ...]]]:
    return [(spec.name, spec.dtype, spec.shape) for spec in signature_of(module).outputs]


def test_inputs_are_named_after_the_arguments_of_forward() -> None:
    assert signature_of(Net()).inputs == (
        pl.TensorSpec(name="image", dtype="uint8", shape=("batch", 1, 8, 8)),
        pl.TensorSpec(name="age", dtype="float32", shape=("batch",)),
    )


@pytest.mark.parametrize(
    ("give", "outputs"),
    [
        (None, [("output", "float32", ("batch", 10))]),
        (
            lambda x: {"logits": x, "best": x.argmax(1)},
            [("logits", "float32", ("batch", 10)), ("best", "int64", ("batch",))],
        ),
        (
            lambda x: (x, x[:, :3]),
            [("output_0", "float32", ("batch", 10)), ("output_1", "float32", ("batch", 3))],
        ),
    ],
)
def test_outputs_are_named_after_what_forward_gives(give: Any, outputs: Any) -> None:
    assert outputs_of(Net(give)) == outputs


def test_postprocess_adds_its_outputs() -> None:
    class Probable(Net):
        def postprocess(self, outputs: Tensor) -> Mapping[str, Tensor]:
            return {"probabilities": outputs.softmax(dim=1).double()}

    assert outputs_of(Probable()) == [
        ("output", "float32", ("batch", 10)),
        ("probabilities", "float64", ("batch", 10)),
    ]


def test_finding_out_leaves_the_module_as_it_was() -> None:
    module = Net()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    signature_of(module)
    assert [module.training, module.norm.training, module.frozen.training] == [True, True, False]
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_a_declared_signature_is_taken_as_it_is() -> None:
    declared = pl.Signature(
        inputs=(pl.TensorSpec(name="x", dtype="int64", shape=("batch", "time", 3), range=(5, 9)),),
        outputs=(pl.TensorSpec(name="y", dtype="float32", shape=("batch",)),),
        labels=("a", "b"),
    )

    class Declared(pl.Module):
        def signature(self) -> pl.Signature:
            return declared

    assert signature_of(Declared()) is declared
    (example,) = example_inputs(Declared())
    assert (tuple(example.shape), example.dtype) == ((2, 2, 3), torch.int64)
    assert 5 <= int(example.min()) <= int(example.max()) <= 9
    assert torch.equal(example, example_inputs(Declared())[0])


def test_a_single_example_is_one_input() -> None:
    class Single(pl.Module):
        example_input_array = torch.ones(2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return x

    assert example_inputs(Single())[0] is Single.example_input_array
    assert [spec.name for spec in signature_of(Single()).inputs] == ["x"]


def test_a_module_that_does_not_tell_is_asked() -> None:
    with pytest.raises(
        UsageError,
        match=r"^Module does not say what its input looks like: set self.example_input_array = torch.zeros\(2, …\) "
        r"in __init__, or define signature\(\)$",
    ):
        signature_of(pl.Module())


def test_a_forward_that_gives_no_tensors_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"^forward gave str; allowed: a tensor, or a sequence or dictionary of tensors$"
    ):
        signature_of(Net(lambda logits: "seven"))


def test_inputs_become_arrays_under_their_names() -> None:
    module = Net()
    given = arrays(signature_of(module), example_inputs(module))
    assert {name: array.shape for name, array in given.items()} == {"image": (3, 1, 8, 8), "age": (3,)}
    assert all(isinstance(array, np.ndarray) for array in given.values())
