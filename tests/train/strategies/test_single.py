from __future__ import annotations

import torch

from lifecycle.strategies import SingleDeviceStrategy
from tests.train.small import Plain, loader, quiet


def test_one_process_does_alone_what_is_asked_of_all() -> None:
    strategy = SingleDeviceStrategy(torch.device("cpu"))
    value = torch.tensor([1.0, 2.0])
    assert (strategy.is_global_zero, strategy.world_size) == (True, 1)
    strategy.barrier("anywhere")
    assert strategy.broadcast("words", src=0) == "words"
    assert strategy.reduce(value, reduce_op="mean") is value
    assert strategy.all_gather(value, sync_grads=True) is value
    assert strategy.reduce_boolean_decision(True) and not strategy.reduce_boolean_decision(False, all=False)


def test_a_trainers_strategy_is_where_its_module_is() -> None:
    trainer, module = quiet(), Plain()
    trainer.fit(module, loader())
    assert isinstance(trainer.strategy, SingleDeviceStrategy)
    assert trainer.strategy.root_device == module.device == torch.device("cpu")
