from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import lifecycle as pl
from lifecycle.core.errors import UsageError
from lifecycle.train.diagnose import explain
from tests.train.diagnose.steps import Over, explained, zeros

NARROW = """\
layer (Linear) is made for 5 features, and gets 7.
  got:     4×7
  expects: 4×5, by nn.Linear(5, 3)
  write:   self.layer = nn.Linear(7, 3)"""


def failure(step: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:
        step()
    return caught.value


def hooked() -> tuple[int, int]:
    """How many hooks there are on all modules."""
    module = torch.nn.modules.module
    return len(module._global_forward_pre_hooks), len(module._global_forward_hooks)


def test_a_step_that_does_not_fail_again_is_explained_by_its_traceback() -> None:
    module = Over(nn.Sequential(nn.Identity(), nn.Linear(5, 3)))
    error = failure(lambda: module.training_step((zeros(4, 7),), 0))
    assert explain(error, module, lambda: None) == (
        "layer.1 (Linear) is made for 5 features, and gets 7.\n"
        "  got:     4×7\n"
        "  expects: 4×5, by nn.Linear(5, 3)\n"
        "  write:   self.layer[1] = nn.Linear(7, 3)"
    )


def test_the_traceback_shows_losses_too() -> None:
    module = Over(nn.Identity(), nn.CrossEntropyLoss())
    error = failure(lambda: module.training_step((zeros(2, 3), torch.tensor([0, 3])), 0))
    assert explain(error, module, lambda: None) == (
        "cross_entropy got class 3 for 3 logits.\n"
        "  got:     3 at [1] of the targets, which go from 0 to 3\n"
        "  expects: classes from 0 to 2\n"
        "  write:   as many logits as classes: 4"
    )


@pytest.mark.parametrize(
    "error",
    [
        KeyError("image"),
        UsageError("said already"),
        torch.OutOfMemoryError("out of memory"),
        StopIteration(),
        UserWarning("a warning as an error"),
    ],
)
def test_errors_of_other_kinds_are_not_repeated(error: Exception) -> None:
    def again() -> None:
        pytest.fail("the step was repeated")

    assert explain(error, Over(nn.Linear(5, 3)), again) is None


@pytest.mark.parametrize(
    "error", [ValueError("my own check"), AttributeError("'Over' has no 'x'"), AssertionError()]
)
def test_errors_of_the_users_own_are_left_as_they_are(error: Exception) -> None:
    def again() -> None:
        raise error

    assert explain(failure(again), Over(nn.Linear(5, 3)), again) is None


def test_another_error_the_second_time_explains_nothing() -> None:
    module = Over(nn.Linear(5, 3))
    error = failure(lambda: module.training_step((zeros(4, 7),), 0))
    assert explain(error, module, lambda: next(iter([]))) is None


def test_a_diagnosis_that_fails_itself_explains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Over(nn.Linear(5, 3))

    def broken() -> Iterator[Any]:
        raise ZeroDivisionError

    def again() -> Tensor:
        return module.training_step((zeros(4, 7),), 0)

    error = failure(again)
    monkeypatch.setattr(module, "named_modules", broken)
    assert explain(error, module, again) is None


def test_nothing_is_left_behind() -> None:
    before = hooked()
    assert explained(Over(nn.Linear(5, 3)), zeros(4, 7)) == NARROW
    assert hooked() == before
    module = Over(nn.Linear(5, 3))
    error = failure(lambda: module.training_step((zeros(4, 7),), 0))

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explain(error, module, interrupted)
    assert hooked() == before
    assert torch._C._len_torch_function_stack() == 0


def test_warnings_are_not_given_twice() -> None:
    class Loud(Over):
        def forward(self, inputs: Tensor) -> Any:
            warnings.warn("once", stacklevel=1)
            return self.layer(inputs)

    with pytest.warns(UserWarning, match="once") as caught:
        assert explained(Loud(nn.Linear(5, 3)), zeros(4, 7)) == NARROW
    assert len(caught) == 1


def test_an_error_that_the_step_catches_is_not_the_one_that_is_explained() -> None:
    class Trying(Over):
        def __init__(self) -> None:
            super().__init__(nn.Linear(5, 3))
            self.other = nn.Linear(6, 3)

        def forward(self, inputs: Tensor) -> Any:
            try:
                return self.other(inputs)
            except RuntimeError:
                return self.layer(inputs)

    assert explained(Trying(), zeros(4, 7)) == NARROW


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_evaluation_is_explained_too(mode: Callable[[], Any]) -> None:
    class Flat(Over):
        def forward(self, inputs: Tensor) -> Any:
            x = torch.flatten(inputs, 1)
            x = nn.functional.dropout(x, 0.5)
            return self.layer(x)

    with mode():
        text = explained(Flat(nn.Linear(5, 3)), zeros(4, 2, 3))
    assert text is not None and text.startswith("layer (Linear) is sized 5 behind a feature map of 2×3.\n")


def test_layers_in_a_list_have_no_name_but_a_class() -> None:
    class Hidden(Over):
        def __init__(self) -> None:
            super().__init__(nn.Identity())
            self.layers = [nn.Linear(5, 3)]

        def forward(self, inputs: Tensor) -> Any:
            return self.layers[0](inputs)

    assert explained(Hidden(), zeros(4, 7)) == (
        "Linear is made for 5 features, and gets 7.\n"
        "  got:     4×7\n"
        "  expects: 4×5, by nn.Linear(5, 3)\n"
        "  write:   nn.Linear(7, 3)"
    )


def test_gradients_that_fail_are_left_to_torch() -> None:
    class Manual(Over):
        def training_step(self, batch: tuple[Any, ...], batch_idx: int) -> Tensor:
            self(batch[0]).backward()
            return zeros()

    assert explained(Manual(nn.Linear(5, 3)), zeros(4, 5)) is None


def test_an_index_that_broke_a_gpu_is_not_looked_for_there() -> None:
    error = RuntimeError("CUDA error: device-side assert triggered")
    text = explain(error, Over(nn.Linear(5, 3)), lambda: pytest.fail("the step was repeated"))
    assert text == (
        "An index was out of range on the GPU, which cannot be used any more by this process.\n"
        "Run the same with accelerator='cpu': the error then names the layer and the index."
    )


def test_sizes_that_are_computed_from_arguments_are_shown_as_they_are_written() -> None:
    class Sized(pl.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.head = nn.Linear(channels * 7 * 7, 10)

        def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
            return cross_entropy(self.head(batch[0].flatten(1)), batch[1])

    assert explained(Sized(8), zeros(4, 8, 5, 5), torch.zeros(4, dtype=torch.int64)) == (
        "head (Linear) is sized channels*7*7 behind a feature map of 8×5×5.\n"
        "  got:     4×200, flattened from 4×8×5×5\n"
        "  expects: 4×392, by nn.Linear(channels*7*7, 10)\n"
        "  write:   self.head = nn.Linear(8*5*5, 10)"
    )
