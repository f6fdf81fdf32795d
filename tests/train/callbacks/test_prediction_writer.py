from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

import lifecycle as pl
from lifecycle.callbacks import BasePredictionWriter
from lifecycle.core.errors import UsageError
from tests.train.small import Plain, quiet


class Numbers(Dataset[Tensor]):
    """Sample i is i."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Tensor:
        return torch.tensor(float(index))


class Echo(Plain):
    def predict_step(self, batch: Tensor, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        return batch + 100 * dataloader_idx


class Written(BasePredictionWriter):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.batches: list[Any] = []
        self.epochs: list[Any] = []

    def write_on_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.Module,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        self.batches.append((prediction.tolist(), batch_indices, batch.tolist(), batch_idx, dataloader_idx))

    def write_on_epoch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.Module,
        predictions: Sequence[Any],
        batch_indices: Sequence[Any],
    ) -> None:
        self.epochs.append((plain(predictions), batch_indices))


def plain(predictions: Any) -> Any:
    return predictions.tolist() if isinstance(predictions, Tensor) else [plain(part) for part in predictions]


def predict(interval: str, loaders: Any, **options: Any) -> Written:
    written = Written(interval)
    trainer = quiet(callbacks=[written], **options.pop("trainer", {}))
    trainer.predict(Echo(), loaders, **options)
    return written


def test_batches_are_written_one_by_one() -> None:
    written = predict("batch", DataLoader(Numbers(5), 2))
    assert written.batches == [
        ([0.0, 1.0], [0, 1], [0.0, 1.0], 0, 0),
        ([2.0, 3.0], [2, 3], [2.0, 3.0], 1, 0),
        ([4.0], [4], [4.0], 2, 0),
    ]
    assert written.epochs == []


def test_or_all_at_the_end() -> None:
    written = predict("epoch", DataLoader(Numbers(3), 2), return_predictions=False)
    assert written.batches == []
    assert written.epochs == [([[0.0, 1.0], [2.0]], [[[0, 1], [2]]])]


def test_or_both_with_several_loaders() -> None:
    written = predict("batch_and_epoch", [DataLoader(Numbers(3), 2), DataLoader(Numbers(2), 1)])
    assert [(indices, index, loader) for _, indices, _, index, loader in written.batches] == [
        ([0, 1], 0, 0),
        ([2], 1, 0),
        ([0], 0, 1),
        ([1], 1, 1),
    ]
    assert written.epochs == [
        ([[[0.0, 1.0], [2.0]], [[100.0], [101.0]]], [[[0, 1], [2]], [[0], [1]]]),
    ]


@pytest.mark.parametrize("workers", [0, 2])
def test_indices_are_those_of_the_samples_in_any_order(workers: int) -> None:
    loader = DataLoader(Numbers(20), 3, shuffle=True, num_workers=workers)
    written = predict("batch", loader, trainer={"limit_predict_batches": 4})
    assert len(written.batches) == 4
    assert all(batch == indices for _, indices, batch, _, _ in written.batches)
    assert [indices for _, indices, *_ in written.batches] != [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]


def test_at_the_end_there_are_indices_of_what_was_predicted_only() -> None:
    loader = DataLoader(Numbers(20), 3, num_workers=2)
    written = predict("epoch", loader, trainer={"limit_predict_batches": 2})
    assert written.epochs[0][1] == [[[0, 1, 2], [3, 4, 5]]]


def test_where_there_are_no_indices_none_are_given() -> None:
    class Stream(IterableDataset[Tensor]):
        def __iter__(self) -> Any:
            return iter(torch.arange(4.0))

    written = predict("batch_and_epoch", DataLoader(Stream(), 2))
    assert [indices for _, indices, *_ in written.batches] == [[], []]
    assert written.epochs == [([[0.0, 1.0], [2.0, 3.0]], [[]])]


def test_a_second_prediction_is_one_of_its_own() -> None:
    written = Written("epoch")
    trainer = quiet(callbacks=[written])
    for count in (2, 1):
        trainer.predict(Echo(), DataLoader(Numbers(count), 1))
    assert [indices for _, indices in written.epochs] == [[[[0], [1]]], [[[0]]]]


def test_what_a_broken_prediction_left_is_forgotten() -> None:
    class Breaking(Echo):
        def predict_step(self, batch: Tensor, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
            if batch_idx == 1:
                raise InterruptedError
            return batch

    written = Written("epoch")
    trainer = quiet(callbacks=[written])
    with pytest.raises(InterruptedError):
        trainer.predict(Breaking(), DataLoader(Numbers(2), 1))
    trainer.predict(Echo(), DataLoader(Numbers(1), 1))
    assert written.epochs == [([[0.0]], [[[0]]])]


def test_what_is_not_overridden_is_an_error() -> None:
    for interval, method in (("batch", "write_on_batch_end"), ("epoch", "write_on_epoch_end")):
        with pytest.raises(UsageError, match=f"BasePredictionWriter defines no {method}"):
            quiet(callbacks=[BasePredictionWriter(interval)]).predict(  # type: ignore[arg-type]
                Echo(), DataLoader(Numbers(1))
            )


def test_a_wrong_interval_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"Written\(write_interval='step'\): allowed: batch, batch_and_epoch, epoch"
    ):
        Written("step")
