from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lifecycle.train.forward import with_forward
from tests.train.small import Plain, loader, quiet, samples

INPUTS = torch.ones(2, 4)


def answer(inputs: Tensor) -> Tensor:
    return torch.full((len(inputs), 1), 3.0)


class Answer(nn.Module):
    """A network, not a function."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(3.0))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.weight.expand(len(inputs), 1)


@pytest.mark.parametrize("function", [answer, Answer(), Answer().forward])
def test_the_modules_own_steps_score_what_answers_for_forward(function: object) -> None:
    module = Plain()
    before = module(INPUTS)
    state = set(module.state_dict())
    with with_forward(module, function):  # type: ignore[arg-type]
        assert torch.equal(module(INPUTS), torch.full((2, 1), 3.0))
        (metrics,) = quiet().test(module, loader())
        assert set(module.state_dict()) == state
    assert metrics["test_loss"] == pytest.approx(float(((samples().tensors[1] - 3) ** 2).mean()), rel=1e-6)
    assert torch.equal(module(INPUTS), before)
    assert "forward" not in vars(module)


def test_forward_comes_back_after_an_error() -> None:
    module = Plain()
    with pytest.raises(RuntimeError), with_forward(module, answer):
        raise RuntimeError
    assert "forward" not in vars(module)


def test_one_stand_in_inside_another_gives_back_the_outer() -> None:
    module = Plain()
    with with_forward(module, answer):
        with with_forward(module, lambda inputs: answer(inputs) + 1):
            assert module(INPUTS)[0, 0] == 4
        assert module(INPUTS)[0, 0] == 3
    assert module(INPUTS)[0, 0] != 3
