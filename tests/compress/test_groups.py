from __future__ import annotations

import pytest
import torch
from torch import nn

from lifecycle.compress.groups import ignored_layers, remove_channels_
from lifecycle.core.errors import UsageError
from tests.compress.networks import EXAMPLE, Residual


def test_patterns_take_whole_blocks_and_the_outputs_are_always_kept() -> None:
    found = ignored_layers(Residual(), EXAMPLE, ["blocks.1.short*"])
    assert "head" in found and "blocks.1.short.0" in found
    assert "blocks.1.conv1" not in found
    assert "blocks.0.conv2" in ignored_layers(Residual(), EXAMPLE, ["blocks.0"])


def test_a_pattern_that_matches_nothing_is_an_error_with_the_closest_name() -> None:
    with pytest.raises(UsageError, match=r"ignore: 'blocks\.0\.conf1' matches no .* mean 'blocks\.0\.conv1'"):
        ignored_layers(Residual(), EXAMPLE, ["blocks.0.conf1"])


def test_what_did_not_require_a_gradient_still_does_not() -> None:
    module = Residual()
    module.stem.requires_grad_(False)
    remove_channels_(module, EXAMPLE, (("stem.0", True, (0, 3)),))
    trained = {name: parameter.requires_grad for name, parameter in module.named_parameters()}
    assert module.stem[0].weight.shape[0] == 14
    assert not any(trained[name] for name in trained if name.startswith("stem"))
    assert all(trained[name] for name in trained if not name.startswith("stem"))


def test_a_history_of_another_module_is_refused_before_anything_is_removed() -> None:
    module = Residual()
    with pytest.raises(UsageError, match=r"'stem\.1\.conv', which Residual does not have"):
        remove_channels_(module, EXAMPLE, (("stem.0", True, (0,)), ("stem.1.conv", True, (0,))))
    with pytest.raises(UsageError, match=r"channel 99 of 'stem\.0', whose weight is \(16, 1, 3, 3\)"):
        remove_channels_(module, EXAMPLE, (("stem.0", True, (99,)),))
    assert module.stem[0].weight.shape[0] == 16


def test_it_works_where_gradients_are_off() -> None:
    module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten(), nn.Linear(8, 2))
    with torch.no_grad():
        remove_channels_(module, (torch.zeros(1, 1, 3, 3),), (("0", True, (1, 2)),))
    assert module[2].weight.shape == (2, 6)
