from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset
from torch.utils.data.distributed import DistributedSampler

from lifecycle.train.feed import Shard, feed_of
from lifecycle.train.feeds.shards import Sharded, shared_out


def indices(loader: DataLoader[Any], count: int, split: str = "train") -> list[list[list[int]]]:
    """For each of `count` processes the samples of its batches."""
    found = []
    for rank in range(count):
        feed = feed_of(loader, split=split, shard=Shard(rank=rank, count=count))
        batches = [batch[0].tolist() for batch in feed.batches(7, 0)]
        assert feed.num_batches == len(batches)
        found.append(batches)
    return found


def numbers(count: int) -> TensorDataset:
    return TensorDataset(torch.arange(count))


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_samples_of_a_step_are_those_of_one_process_with_the_doubled_batch(shuffle: bool) -> None:
    (alone,) = indices(DataLoader(numbers(16), 8, shuffle=shuffle), 1)
    first, second = indices(DataLoader(numbers(16), 4, shuffle=shuffle), 2)
    assert [sorted(a + b) for a, b in zip(first, second, strict=True)] == [sorted(batch) for batch in alone]


@pytest.mark.parametrize(("samples", "count"), [(13, 2), (1, 2), (7, 4), (8, 4)])
def test_training_repeats_what_is_lacking_and_evaluation_nothing(samples: int, count: int) -> None:
    loader = DataLoader(numbers(samples), 2)
    training = [list(chain(*each)) for each in indices(loader, count)]
    assert len({len(each) for each in training}) == 1
    assert set(chain(*training)) == set(range(samples))
    scored = [batch for each in indices(loader, count, "val") for batch in each]
    assert sorted(chain(*scored)) == list(range(samples))


def test_batches_of_another_batch_sampler_stay_together() -> None:
    class ByLength(BatchSampler):
        """One of the user's."""

    lists = ByLength(RandomSampler(numbers(12)), 3, False)
    first, second = indices(DataLoader(numbers(12), batch_sampler=lists), 2)
    (alone,) = indices(DataLoader(numbers(12), batch_sampler=lists), 1)
    assert [first[0], second[0], first[1], second[1]] == alone


def test_a_distributed_sampler_of_the_users_is_left_alone() -> None:
    own = DistributedSampler(numbers(8), num_replicas=2, rank=1, shuffle=False)
    loader = DataLoader(numbers(8), 2, sampler=own)
    assert shared_out(loader.batch_sampler, Shard(rank=0, count=2), even=True) is loader.batch_sampler  # type: ignore[arg-type]


def test_nothing_is_shared_out_where_the_user_says_so() -> None:
    loader = DataLoader(numbers(8), 2)
    feed = feed_of(loader, shard=Shard(rank=1, count=2, splits=False))
    assert feed.num_batches == 4


def test_a_part_says_how_long_it_is() -> None:
    parts = [Sharded(range(5), Shard(rank=rank, count=3), even=False) for rank in range(3)]
    assert [(len(part), list(part)) for part in parts] == [(2, [0, 3]), (2, [1, 4]), (1, [2])]
    assert list(Sharded(range(5), Shard(rank=2, count=3), even=True)) == [2, 0]
