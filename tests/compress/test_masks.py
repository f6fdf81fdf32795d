from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from lifecycle.compress.masks import apply_masks_, count_zeros, cubic, extend_masks, two_of_four
from lifecycle.core.errors import UsageError

WHOLE = {"a": torch.tensor([1.0, 2, 3, 4]), "b": torch.tensor([[3.5, 8], [9, 0.5]])}
ALL = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in WHOLE.items()}


def test_weights_are_ranked_as_one_or_each_for_itself() -> None:
    together = extend_masks(WHOLE, ALL, prune.L1Unstructured(4), together=True)
    assert together["a"].tolist() == [False, False, False, True]
    assert together["b"].tolist() == [[True, True], [True, False]]
    apart = extend_masks(WHOLE, ALL, prune.L1Unstructured(2), together=False)
    assert apart["b"].tolist() == [[False, True], [True, False]]


def test_an_amount_is_of_what_is_still_there() -> None:
    weights = {"a": torch.arange(1.0, 101)}
    masks = {"a": torch.ones(100, dtype=torch.bool)}
    for left in (50, 25, 13):  # a fraction is rounded as torch rounds it
        masks = extend_masks(weights, masks, prune.L1Unstructured(0.5), together=True)
        assert int(masks["a"].sum()) in (left, left - 1)
    assert masks["a"][-1] and not masks["a"][50]


def test_channels_go_as_a_whole_and_those_that_are_gone_do_not_count() -> None:
    weight = torch.tensor([[1.0, 1], [2, 2], [3, 3], [4, 4]])
    masks = {"w": torch.ones_like(weight, dtype=torch.bool)}
    for left in (2, 1):
        masks = extend_masks({"w": weight}, masks, prune.LnStructured(0.5, n=2, dim=0), together=False)
        assert masks["w"].all(1).tolist() == [False] * (4 - left) + [True] * left


@pytest.mark.parametrize("shape", [(3, 8), (5, 4, 3, 3)])
def test_two_of_every_four_inputs_stay_and_they_are_the_largest(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    weight = torch.randn(shape)
    mask = two_of_four(weight)
    fours = mask.movedim(1, -1).reshape(-1, 4)
    assert (fours.sum(1) == 2).all()
    sizes = weight.abs().movedim(1, -1).reshape(-1, 4)
    kept, gone = sizes[fours].reshape(-1, 2).min(1).values, sizes[~fours].reshape(-1, 2).max(1).values
    assert (kept >= gone).all()


def test_weights_that_do_not_divide_into_fours_are_refused() -> None:
    with pytest.raises(UsageError, match=r"multiple of 4; got one of shape \(8, 3, 3, 3\)"):
        two_of_four(torch.zeros(8, 3, 3, 3))


def test_zeros_are_counted_exactly() -> None:
    module = nn.Linear(4, 2)
    with torch.no_grad():
        module.weight.fill_(1)
        module.bias.fill_(1)
    apply_masks_(module, {"weight": torch.tensor([[True, False, True, True]] * 2)})
    rows = {row.name: row for row in count_zeros(module)}
    assert (rows["weight"].zeros, rows["weight"].total, rows["weight"].fraction) == (2, 8, 0.25)
    assert rows["bias"].zeros == 0


def test_the_cubic_schedule_ends_where_it_should() -> None:
    course = [cubic(0.9, done / 10) for done in range(11)]
    assert course == sorted(course) and course[0] == 0 and course[-1] == 0.9
    assert course[5] > 0.75
