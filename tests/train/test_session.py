"""What a verb sets up around the module, and takes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from lifecycle.core.errors import UsageError
from tests.train.small import Plain, loader, quiet, same, seeded

INPUTS = torch.ones(2, 4)


class Told(Plain):
    """Its forward gives 1 more when it is compiled."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) + (1.0 if torch.compiler.is_compiling() else 0.0)


class OneMore(Plain):
    """Its forward always does."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) + 1.0


@pytest.fixture(autouse=True)
def _compiled_anew() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def compiled(module: Plain) -> Any:
    return torch.compile(module, backend="eager")


def test_a_compiled_module_trains_and_validates_through_its_compiled_forward() -> None:
    expected = seeded(OneMore)
    by_hand = quiet(max_epochs=2)
    by_hand.fit(expected, loader(), loader())
    module = seeded(Told)
    trainer = quiet(max_epochs=2)
    trainer.fit(compiled(module), loader(), loader())
    assert same(module.state_dict(), expected.state_dict())
    assert same(trainer.callback_metrics, by_hand.callback_metrics)
    assert {"train_loss", "val_loss"} <= set(trainer.callback_metrics)


def test_its_other_verbs_go_through_it_too() -> None:
    module = seeded(Told)
    trainer = quiet()
    (plain,) = trainer.test(module, loader(), verbose=False)
    (one_more,) = trainer.test(compiled(module), loader(), verbose=False)
    (expected,) = trainer.test(seeded(OneMore), loader(), verbose=False)
    assert one_more == expected != plain
    (given,) = trainer.predict(compiled(module), [INPUTS])  # type: ignore[misc]
    assert torch.equal(given, module(INPUTS) + 1.0)


def test_a_compiled_module_is_given_back_unchanged() -> None:
    module = seeded(Told)
    names, wrapper = list(module.state_dict()), compiled(module)
    trainer = quiet(limit_train_batches=2)
    trainer.fit(wrapper, loader())
    assert "forward" not in vars(module)
    assert list(module.state_dict()) == names
    assert torch.equal(module(INPUTS), module.net(INPUTS))
    assert torch.equal(wrapper(INPUTS), module.net(INPUTS) + 1.0)
    assert trainer.lightning_module is module
    # The next verb of the plain module is not compiled.
    (metrics,) = trainer.test(module, loader(), verbose=False)
    twin = seeded(Plain)
    twin.load_state_dict(module.state_dict())
    assert [metrics] == quiet().test(twin, loader(), verbose=False)


def test_it_is_given_back_after_an_error() -> None:
    class Broken(Told):
        def on_train_batch_end(self, *given: object) -> None:
            raise RuntimeError("broken")

    module = seeded(Broken)
    with pytest.raises(RuntimeError, match=r"^broken$"):
        quiet().fit(compiled(module), loader())
    assert "forward" not in vars(module)
    assert torch.equal(module(INPUTS), module.net(INPUTS))


def test_a_class_in_place_of_a_module_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^Plain is a class: pass a module made of it, Plain\(…\)$"):
        quiet().fit(Plain, loader())  # type: ignore[arg-type]
