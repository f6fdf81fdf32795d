from __future__ import annotations

import pytest

import lifecycle as pl
from lifecycle.core.errors import UsageError
from lifecycle.train.attributes import Attribute


class Module(pl.Module):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.save_hyperparameters()


class Data(pl.DataModule):
    def __init__(self) -> None:
        super().__init__()
        self.batch_size = 4


def test_it_is_found_wherever_it_is_kept() -> None:
    module, data = Module(width=5), Data()
    assert Attribute(module, None, "width").read() == 5
    assert Attribute(module, data, "batch_size").read() == 4
    module.lr = 0.1  # type: ignore[assignment]
    found = Attribute(module, data, "learning_rate", "lr")
    assert (found.name, found.read()) == ("lr", 0.1)


def test_every_place_is_written() -> None:
    module, data = Module(), Data()
    module.batch_size = 2  # type: ignore[assignment]
    module.hparams["batch_size"] = 1
    Attribute(module, data, "batch_size").write(8)
    assert (module.batch_size, data.batch_size, module.hparams["batch_size"]) == (8, 8, 8)


def test_a_name_that_nobody_has_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"^Module and Data have no attribute 'lr' or 'learning_rate'"):
        Attribute(Module(), Data(), "lr", "learning_rate")
    with pytest.raises(UsageError, match=r"^Module has no attribute 'size'"):
        Attribute(Module(), None, "size")
