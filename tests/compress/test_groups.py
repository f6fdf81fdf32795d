from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lifecycle.compress.channels import prune_channels_
from lifecycle.compress.groups import ignored_layers, remove_channels_
from lifecycle.core.errors import UsageError
from tests.compress.architectures import IMAGE
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


class Shuffled(nn.Module):
    """Channels in other places, or pixels out of channels, between two convolutions."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.first = nn.Conv2d(1, 32, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2) if kind == "pixels" else nn.ChannelShuffle(4)
        inputs = {"pixels": 8, "glu": 16}.get(kind, 32)
        self.second = nn.Conv2d(inputs, 32, 3, padding=1)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        if self.kind == "glu":
            x = F.glu(x, 1)
        elif self.kind == "by hand":
            batch, channels, height, width = x.shape
            x = x.view(batch, 4, channels // 4, height, width).transpose(1, 2).reshape(x.shape)
        else:
            x = self.shuffle(x)
        return self.head(self.second(x).relu().mean((2, 3)))


class Halved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.third, self.head = nn.Conv2d(16, 16, 1), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.first(x).chunk(2, 1)
        return self.head(self.third(torch.cat([left, self.second(right)], 1)).relu().mean((2, 3)))


def test_a_layer_that_forward_splits_stays_whole_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    edit = prune_channels_(Halved(), IMAGE, channels=0.5, scope="local")
    assert "third" in {name for name, _, _ in edit.history} and "first" not in {n for n, _, _ in edit.history}
    assert "left whole, for forward fails with fewer of their channels: second" in caplog.text


@pytest.mark.parametrize("kind", ["pixels", "channels", "by hand", "glu"])
def test_a_layer_whose_channels_cannot_be_followed_stays_whole_and_the_others_do_not(kind: str) -> None:
    module = Shuffled(kind)
    edit = prune_channels_(module, IMAGE, channels=0.5, scope="local")
    assert {name for name, _, _ in edit.history} == {"second"}
    assert module(torch.rand(3, 1, 8, 8)).shape == (3, 5)


class ChannelsLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.hidden, self.head = nn.Conv2d(1, 16, 3), nn.Linear(16, 16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(self.conv(x).relu().permute(0, 2, 3, 1)).relu().mean((1, 2)))


def test_channels_that_move_together_with_their_readers_may_go() -> None:
    edit = prune_channels_(ChannelsLast(), IMAGE, channels=0.5, scope="local")
    assert {name for name, _, _ in edit.history} == {"conv", "hidden"}


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 16)
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)
        self.head = nn.Linear(16, 20, bias=False)
        self.head.weight = self.words.weight

    def forward(self, x: Tensor) -> Tensor:
        y = self.words(x)
        return self.head(y + self.down(self.up(y).relu()))


def test_weights_that_are_one_stay_one() -> None:
    module = Tied()
    edit = prune_channels_(module, (torch.arange(12).reshape(2, 6),), channels=0.5, scope="local", round_to=1)
    assert module.head.weight is module.words.weight and module.words.weight.shape == (20, 8)
    assert sum(1 for _ in module.parameters()) == 5 and edit.params < 0.5
