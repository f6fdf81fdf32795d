from __future__ import annotations

import pytest
from torch import nn

from lifecycle.train.modes import mode_of


@pytest.mark.parametrize("training", [True, False])
def test_every_part_gets_its_mode_back(training: bool) -> None:
    module = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout().eval(), nn.Dropout()))
    before = [part.training for part in module.modules()]
    with pytest.raises(RuntimeError), mode_of(module, training=training):
        assert {part.training for part in module.modules()} == {training}
        raise RuntimeError
    assert [part.training for part in module.modules()] == before
