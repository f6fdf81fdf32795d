from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

import lifecycle as pl
from lifecycle.callbacks import LearningRateFinder
from lifecycle.core.errors import UsageError
from tests.train.small import Plain, loader, quiet, same, seeded


class Rates(pl.Callback):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


def test_a_fit_uses_what_it_suggests_and_is_otherwise_as_without_it() -> None:
    finder, rates, module = LearningRateFinder(num_training_steps=30), Rates(), seeded(Plain)
    trainer = quiet(max_epochs=2, callbacks=[finder, rates])
    trainer.fit(module, loader(shuffle=True, batch_size=11))
    assert finder.optimal_lr is not None
    lr = finder.optimal_lr.suggestion()
    assert lr is not None and rates.seen == [lr] * 4 and module.lr == lr
    knowing = seeded(Plain, lr=lr)
    quiet(max_epochs=2).fit(knowing, loader(shuffle=True, batch_size=11))
    assert same(module.state_dict(), knowing.state_dict())
    assert trainer.global_step == 4


def test_schedules_multiply_what_was_found() -> None:
    class Halving(Plain):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=self.lr)
            return [optimizer], [LambdaLR(optimizer, lambda epoch: 0.5**epoch)]

    finder, rates = LearningRateFinder(num_training_steps=30), Rates()
    quiet(max_epochs=3, callbacks=[finder, rates]).fit(seeded(Halving), loader(batch_size=11))
    assert finder.optimal_lr is not None
    lr = finder.optimal_lr.suggestion()
    assert lr is not None
    # After the last batch of an epoch the schedule has stepped already.
    assert rates.seen[::2] == pytest.approx([lr, lr / 2, lr / 4])


def test_the_rate_can_be_left_as_it_is() -> None:
    finder, rates = LearningRateFinder(num_training_steps=30, update_attr=False), Rates()
    quiet(max_epochs=1, callbacks=[finder, rates]).fit(seeded(Plain), loader(batch_size=11))
    assert rates.seen == [0.05] * 2
    assert finder.optimal_lr is not None and len(finder.optimal_lr.results["lr"]) == 30


def test_it_can_be_run_at_other_times() -> None:
    class Again(LearningRateFinder):
        def __init__(self) -> None:
            super().__init__(num_training_steps=20, early_stop_threshold=None, update_attr=False)
            self.tried: list[int] = []

        def on_fit_start(self, *_: Any) -> None:
            return

        def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.Module) -> None:
            self.lr_find(trainer, pl_module)
            assert self.optimal_lr is not None
            self.tried.append(len(self.optimal_lr.results["loss"]))

    again, module = Again(), seeded(Plain)
    quiet(max_epochs=3, callbacks=[again]).fit(module, loader(shuffle=True))
    plain = seeded(Plain)
    quiet(max_epochs=3).fit(plain, loader(shuffle=True))
    assert again.tried == [20, 20, 20]
    assert same(module.state_dict(), plain.state_dict())


def test_a_name_that_nobody_has_is_refused_before_the_test() -> None:
    with pytest.raises(UsageError, match="Plain has no attribute 'rate'"):
        quiet(callbacks=[LearningRateFinder(attr_name="rate")]).fit(Plain(), loader())


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(UsageError, match=r"LearningRateFinder\(mode='lin'\): did you mean 'linear'"):
        LearningRateFinder(mode="lin")
    LearningRateFinder(mode="Linear")
