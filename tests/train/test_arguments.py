"""What the trainer says to arguments that it does not take."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import lifecycle as pl
from lifecycle.core.errors import UsageError


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_epoch": 3}, r"^Trainer has no argument 'max_epoch'; did you mean 'max_epochs'\? Allowed: acc"),
        ({"gradient_clip": 1.0}, "did you mean 'gradient_clip_val'"),
        ({"zzz": 1}, "^Trainer has no argument 'zzz'; allowed: accelerator, "),
        ({"gpus": 1}, "^Trainer takes no 'gpus' any more: write accelerator=\"gpu\", devices=1$"),
        (
            {"resume_from_checkpoint": "a.ckpt"},
            r"^Trainer takes no 'resume_from_checkpoint' any more: call trainer.fit\(model, ckpt_path=…\)$",
        ),
    ],
)
def test_an_argument_that_there_is_not(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        pl.Trainer(**given)


def test_arguments_have_names() -> None:
    with pytest.raises(UsageError, match=r"^Trainer\(3\): give its arguments by name"):
        pl.Trainer(3)  # type: ignore[misc]


def test_a_subclass_may_take_more() -> None:
    class Own(pl.Trainer):
        def __init__(self, mine: int, **options: Any) -> None:
            super().__init__(**options)
            self.mine = mine

    assert Own(3, logger=False).mine == 3
    with pytest.raises(UsageError, match="'max_epochs'"):
        Own(3, max_epoch=1)


def test_who_looks_at_the_signature_finds_all_of_it() -> None:
    assert len(inspect.signature(pl.Trainer).parameters) == 41 + 3
