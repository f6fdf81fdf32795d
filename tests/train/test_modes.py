from __future__ import annotations

import pytest
from torch import nn

from lifecycle.train.modes import mode_of, modes_kept


def network() -> nn.Sequential:
    """With a part that is kept in evaluation mode."""
    found = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.Dropout(), nn.BatchNorm1d(1)))
    found[1].eval()
    return found


def modes(module: nn.Module) -> list[bool]:
    return [part.training for part in module.modules()]


BEFORE = [True, True, False, False, False]


@pytest.mark.parametrize("training", [True, False])
def test_a_mode_lasts_for_a_while(training: bool) -> None:
    module = network()
    assert modes(module) == BEFORE
    with mode_of(module, training=training):
        assert modes(module) == [training] * 5
    assert modes(module) == BEFORE


def test_modes_come_back_whatever_happens() -> None:
    module = network()
    with pytest.raises(ZeroDivisionError), modes_kept(module):
        module.eval()
        module[0].train()
        raise ZeroDivisionError
    assert modes(module) == BEFORE


def test_a_part_that_is_added_meanwhile_keeps_its_own() -> None:
    module = network()
    with modes_kept(module):
        module.append(nn.Linear(1, 1).eval())
        module.train()
    assert modes(module) == [*BEFORE, True]
