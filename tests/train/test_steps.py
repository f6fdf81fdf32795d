from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import lifecycle as pl
from lifecycle.core.errors import UsageError
from lifecycle.train.precision import precision_of
from lifecycle.train.steps import bound_step, preparer
from tests.train.small import Plain, loader, quiet

CPU = torch.device("cpu")


def having(step: Any) -> pl.Module:
    return type("Having", (Plain,), {"validation_step": step})()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (lambda self, batch: (batch,), ("b",)),
        (lambda self, batch, batch_idx: (batch, batch_idx), ("b", 3)),
        (lambda self, anything, number: (anything, number), ("b", 3)),
        (lambda self, batch, batch_idx, dataloader_idx=0: (batch, batch_idx, dataloader_idx), ("b", 3, 0)),
        (lambda self, batch, batch_idx, *, much=1: (batch, batch_idx, much), ("b", 3, 1)),
        (lambda self, *given: given, ("b", 3)),
        (lambda self, batch, batch_idx, **more: (batch, batch_idx, more), ("b", 3, {})),
    ],
)
def test_a_step_takes_what_it_asks_for(step: Any, expected: tuple[object, ...]) -> None:
    assert bound_step(having(step), "validation_step")("b", 3) == expected


def test_with_several_loaders_a_step_is_told_which() -> None:
    step = bound_step(
        having(lambda self, b, i, dataloader_idx=0: dataloader_idx), "validation_step", loaders=2
    )
    assert step("b", 3, 1) == 1
    for forgetful in (lambda self, batch: None, lambda self, batch, batch_idx: None):
        with pytest.raises(UsageError) as refused:
            bound_step(having(forgetful), "validation_step", loaders=2)
        assert str(refused.value) == (
            "there are 2 loaders, and Having.validation_step does not take dataloader_idx: "
            "write def validation_step(self, batch, batch_idx, dataloader_idx=0)"
        )


def test_a_step_that_insists_on_a_loader_is_told_that_there_is_one() -> None:
    with pytest.raises(UsageError) as refused:
        bound_step(having(lambda self, batch, batch_idx, dataloader_idx: None), "validation_step")
    assert str(refused.value) == (
        "Having.validation_step asks for dataloader_idx, and gets a batch and its index: "
        "write def validation_step(self, batch, batch_idx, dataloader_idx=0)"
    )


def test_a_step_that_iterates_itself_is_refused() -> None:
    with pytest.raises(UsageError) as refused:
        bound_step(having(lambda self, dataloader_iter: None), "validation_step")
    assert str(refused.value) == (
        "Having.validation_step takes dataloader_iter, which is not supported; take (batch, batch_idx)"
    )


def test_a_step_runs_in_its_precision() -> None:
    seen = having(lambda self, batch, batch_idx: torch.get_default_dtype())
    assert bound_step(seen, "validation_step", precision_of("64-true", CPU))("b", 0) == torch.float64
    assert bound_step(seen, "validation_step", precision_of("32", CPU))("b", 0) == torch.float32


def test_a_batch_of_a_step_for_the_processor_is_left_as_it_is() -> None:
    assert preparer(Plain(), None, precision_of(None, CPU), CPU) is None
    assert preparer(Plain(), pl.DataModule(), precision_of(None, CPU), CPU) is None


def moving(base: type, owner: str, told: list[str]) -> Any:
    """A subclass whose three hooks note their owner and what they were given."""

    def before(self: Any, batch: Any, dataloader_idx: int) -> Any:
        told.append(f"{owner} before {dataloader_idx}")
        return [*batch, "before"]

    def transfer(self: Any, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        told.append(f"{owner} to {device} {dataloader_idx}")
        return [*batch, "moved"]

    def after(self: Any, batch: Any, dataloader_idx: int) -> Any:
        told.append(f"{owner} after {dataloader_idx}")
        return [*batch, "after"]

    methods = {
        "on_before_batch_transfer": before,
        "transfer_batch_to_device": transfer,
        "on_after_batch_transfer": after,
    }
    return type("Moving", (base,), methods)


def test_a_batch_passes_three_hooks_of_the_module_or_the_data() -> None:
    told: list[str] = []
    module, data = moving(Plain, "module", told)(), moving(pl.DataModule, "data", told)()
    for given, owner in ((None, "module"), (data, "data")):
        prepare: Any = preparer(module, given, precision_of(None, CPU), CPU)
        assert prepare(["batch"], 2) == ["batch", "before", "moved", "after"]
        assert told == [f"{owner} before 2", f"{owner} to cpu 2", f"{owner} after 2"]
        told.clear()


def test_a_precision_converts_what_a_batch_holds() -> None:
    prepare: Any = preparer(Plain(), None, precision_of("64-true", CPU), CPU)
    inputs, count = prepare([torch.ones(2), torch.tensor([3])], 0)
    assert (inputs.dtype, count.dtype) == (torch.float64, torch.int64)


def test_hooks_around_the_transfer_change_what_the_steps_see() -> None:
    seen: list[float] = []

    class Doubling(Plain):
        def on_after_batch_transfer(self, batch: list[Tensor], dataloader_idx: int) -> list[Tensor]:
            return [2 * batch[0], batch[1]]

        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            seen.append(float(batch[0].sum()))
            return super().training_step(batch, batch_idx)

        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            seen.append(float(batch[0].sum()))

    quiet(limit_train_batches=1).fit(Doubling(), loader())
    assert seen == [2 * float(next(iter(loader()))[0].sum())] * 2
