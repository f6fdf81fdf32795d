"""A loss of which there are no gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor

from lifecycle.core.errors import UsageError
from tests.train.small import Plain, loader, quiet


class Spoilt(Plain):
    """Returns what is made of its loss."""

    def __init__(self, spoil: Callable[[Tensor], Tensor], *, frozen: bool = False) -> None:
        super().__init__()
        self.spoil = spoil
        self.requires_grad_(not frozen)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.spoil(super().training_step(batch, batch_idx))


@pytest.mark.parametrize(
    ("module", "title", "write"),
    [
        (Spoilt(Tensor.detach), "The loss of Spoilt depends on none of its parameters.", "without .detach()"),
        (Spoilt(lambda loss: loss, frozen=True), "Nothing in Spoilt can be trained.", "self.unfreeze()"),
        (Spoilt(lambda loss: loss.expand(3)), "The loss of Spoilt is several numbers.", "loss.mean()"),
    ],
)
def test_a_loss_without_gradients_is_told_with_what_to_do(module: Spoilt, title: str, write: str) -> None:
    with pytest.raises(UsageError) as caught:
        quiet().fit(module, loader())
    first, *_, last = str(caught.value).splitlines()
    assert first == title
    assert last.startswith("  write:") and write in last
