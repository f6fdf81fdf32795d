from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, SequentialSampler, TensorDataset

import lifecycle as pl
from lifecycle.core.errors import UsageError
from lifecycle.train.data import has_loader
from tests.train.small import samples


class Data(pl.DataModule):
    """With two of four loaders."""

    def train_dataloader(self) -> Any:
        return DataLoader(samples(22), 4)

    def test_dataloader(self) -> Any:
        return {"a": DataLoader(samples(3)), "b": DataLoader(Endless())}


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[int]:
        return count()


def test_loaders_that_a_user_wrote_are_known() -> None:
    data = Data()
    data.predict_dataloader = lambda: [1]  # type: ignore[method-assign]
    known = [has_loader(data, f"{split}_dataloader") for split in ("train", "val", "test", "predict")]
    assert known == [True, False, True, True]
    with pytest.raises(
        UsageError,
        match=r"^Data defines no val_dataloader; add `def val_dataloader\(self\): return DataLoader\(...\)`$",
    ):
        data.val_dataloader()


def test_a_data_module_tells_how_much_it_holds() -> None:
    assert str(Data()).splitlines() == [
        "{Train dataloader: size=22}",
        "{Validation dataloader: None}",
        "{Test dataloader: 1. size=3 ; 2. size=NA}",
        "{Predict dataloader: None}",
    ]

    class Later(pl.DataModule):
        def train_dataloader(self) -> Any:
            return DataLoader(self.nothing_yet)  # type: ignore[attr-defined]

    assert str(Later()).splitlines()[0] == "{Train dataloader: None}"


def test_what_may_be_left_out_does_nothing() -> None:
    data = pl.DataModule("any", arguments=1)
    batch = object()
    assert data.on_before_batch_transfer(batch, 0) is batch
    assert data.on_after_batch_transfer(batch, 0) is batch
    assert data.transfer_batch_to_device([torch.zeros(1)], torch.device("meta"), 0)[0].device.type == "meta"
    assert data.state_dict() == {}
    data.prepare_data()
    data.setup("fit")
    data.teardown("fit")
    data.load_state_dict({})
    data.on_exception(ValueError())
    assert (data.name, data.trainer, data.hparams) == (None, None, {})
    assert data.prepare_data_per_node
    assert not data.allow_zero_length_dataloader_with_multiple_devices


def test_a_data_module_is_made_of_data_sets() -> None:
    data = pl.DataModule.from_datasets(
        samples(), [samples(), {"x": samples()}], predict_dataset=Endless(), batch_size=3, num_workers=1
    )
    train: Any = data.train_dataloader()
    assert isinstance(train.sampler, RandomSampler)
    assert (train.batch_size, train.num_workers) == (3, 1)
    val: Any = data.val_dataloader()
    assert isinstance(val[0].sampler, SequentialSampler)
    assert val[1]["x"].batch_size == 3
    assert isinstance(data.predict_dataloader().dataset, Endless)  # type: ignore[union-attr]
    assert not has_loader(data, "test_dataloader")
    assert str(data).splitlines()[1] == "{Validation dataloader: 1. size=22 ; 2. size=22}"


def test_a_subclass_is_told_the_options_that_it_takes() -> None:
    class Takes(pl.DataModule):
        def __init__(self, width: int, batch_size: int) -> None:
            super().__init__()
            self.made_with = (width, batch_size)

    class TakesAll(pl.DataModule):
        def __init__(self, **options: Any) -> None:
            super().__init__()
            self.made_with = options

    assert Takes.from_datasets(samples(), batch_size=5, width=2).made_with == (2, 5)
    assert TakesAll.from_datasets(samples()).made_with == {"batch_size": 1, "num_workers": 0}


class Kept(pl.DataModule):
    """Keeps its arguments, and a count."""

    def __init__(self, batch_size: int = 4, path: str = "here", **more: Any) -> None:
        self.save_hyperparameters(ignore="path")
        self.count = 0

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.count = state_dict["count"]


def checkpoint(path: Path, **more: object) -> Path:
    keys = ("state_dict", "loops", "callbacks", "optimizer_states", "lr_schedulers")
    content: dict[str, object] = {"epoch": 0, "global_step": 0, "pytorch-lightning_version": "2.6.0"}
    torch.save(content | dict.fromkeys(keys) | more, path)
    return path


def test_arguments_are_kept_and_make_the_data_module_again(tmp_path: Path) -> None:
    data = Kept(8, colour="red")
    assert data.hparams == data.hparams_initial == {"batch_size": 8, "colour": "red"}
    assert data.hparams.batch_size == 8
    data.hparams.batch_size = 9
    assert data.hparams_initial.batch_size == 8
    path = checkpoint(tmp_path / "a.ckpt", datamodule_hyper_parameters=dict(data.hparams), Kept={"count": 5})
    again = Kept.load_from_checkpoint(path)
    assert (again.hparams, again.count) == ({"batch_size": 9, "colour": "red"}, 5)
    assert Kept.load_from_checkpoint(path, batch_size=2).hparams == {"batch_size": 2, "colour": "red"}
    assert Kept.load_from_checkpoint(checkpoint(tmp_path / "b.ckpt")).hparams == {"batch_size": 4}


def test_arguments_may_come_from_a_file(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "a.ckpt", datamodule_hyper_parameters={"batch_size": 9})
    (tmp_path / "hparams.yaml").write_text("batch_size: 3\n")
    (tmp_path / "hparams.csv").write_text("key,value\nbatch_size,5\n")
    for name, size in (("hparams.yaml", 3), ("hparams.csv", 5)):
        assert Kept.load_from_checkpoint(path, hparams_file=tmp_path / name).hparams.batch_size == size
    with pytest.raises(UsageError, match=r"^hparams_file='.*none.yaml': there is no such file$"):
        Kept.load_from_checkpoint(path, hparams_file=tmp_path / "none.yaml")
    with pytest.raises(UsageError, match=r"^hparams_file='.*a.ckpt': expected a .yaml or .csv file$"):
        Kept.load_from_checkpoint(path, hparams_file=path)


def test_a_dataclass_keeps_its_fields() -> None:
    @dataclass
    class Fields(pl.DataModule):
        batch_size: int = 4
        split: Any = None

        def __post_init__(self) -> None:
            super().__init__()
            self.save_hyperparameters(ignore=["split"])

    data = Fields(8, TensorDataset(torch.zeros(1)))
    assert data.hparams == {"batch_size": 8}
    assert data.batch_size == 8
