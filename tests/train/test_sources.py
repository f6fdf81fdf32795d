from __future__ import annotations

from typing import Any

import pytest

import lifecycle as pl
from lifecycle.core.errors import UsageError
from lifecycle.train.sources import Sources, arguments, is_empty
from tests.train.small import Plain, loader


class Own(Plain):
    """Brings loaders of its own, and counts how often it is asked."""

    asked = 0

    def val_dataloader(self) -> object:
        self.asked += 1
        return ["of the module", self.asked]

    test_dataloader = val_dataloader


class Data(pl.DataModule):
    def val_dataloader(self) -> Any:
        return ["of the data"]

    def train_dataloader(self) -> Any:
        return None


def test_what_was_passed_comes_first_then_the_data_then_the_module() -> None:
    assert Sources(Own(), Data(), {"val": ["passed"]}).load("val") == ["passed"]
    assert Sources(Own(), Data(), {"val": None}).load("val") == ["of the data"]
    assert Sources(Own(), None, {}).load("val") == ["of the module", 1]
    # A data module without a loader of that kind leaves it to the module.
    assert Sources(Own(), Data(), {}).load("test") == ["of the module", 1]


def test_loaders_are_asked_for_once_unless_anew() -> None:
    sources = Sources(Own(), None, {})
    assert sources.has("val") and sources.loaders == {}
    assert [sources.load("val") for _ in range(2)] == [["of the module", 1]] * 2
    assert sources.load("val", anew=True) == ["of the module", 2]
    assert sources.loaders == {"val": ["of the module", 2]}


def test_a_loader_of_one_instance_counts() -> None:
    module, data = Plain(), Data()
    module.predict_dataloader = lambda: ["of this module"]  # type: ignore[method-assign]
    data.test_dataloader = lambda: ["of this data"]  # type: ignore[method-assign]
    sources = Sources(module, data, {})
    assert (sources.load("predict"), sources.load("test")) == (["of this module"], ["of this data"])


def test_where_there_is_nothing_it_says_what_to_write() -> None:
    sources = Sources(Plain(), None, {})
    assert not sources.has("val")
    with pytest.raises(UsageError) as refused:
        sources.load("val")
    assert str(refused.value) == (
        "there is nothing to iterate over: pass loaders or datamodule=…, or define val_dataloader in Plain"
    )
    with pytest.raises(UsageError, match=r"or define test_dataloader in Data$"):
        Sources(Plain(), Data(), {}).load("test")


@pytest.mark.parametrize("given", [(Data, None), (None, Data)])
def test_a_class_in_place_of_what_is_made_of_it_is_refused(given: tuple[Any, Any]) -> None:
    with pytest.raises(UsageError, match=r"^Data is a class: pass what is made of it, as in Data\(…\)$"):
        arguments(*given)


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^Data\.train_dataloader returned None; return a DataLoader$"):
        Sources(Plain(), Data(), {}).load("train")


def test_a_data_module_may_be_passed_in_place_of_loaders() -> None:
    data, loaders = Data(), loader()
    assert arguments(data, None) == (None, data)
    assert arguments(None, data) == (None, data)
    assert arguments(loaders, None) == (loaders, None)
    for given, message in (
        ((data, Data()), "two data modules were passed: one in place of loaders, one as datamodule=…"),
        ((loaders, data), "pass loaders or datamodule=…, not both"),
    ):
        with pytest.raises(UsageError) as refused:
            arguments(*given)
        assert str(refused.value) == message


def test_no_loader_at_all() -> None:
    assert is_empty(None) and is_empty([])
    assert not is_empty([loader()]) and not is_empty(loader())
