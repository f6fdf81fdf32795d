from __future__ import annotations

from collections.abc import Callable

import pytest
from torch.utils.data import DataLoader

from lifecycle.core.errors import UsageError
from lifecycle.train.feed import evaluation_feeds, feed_of
from tests.train.feeds.reading import SIZE, Augmented, Stream, draw, samples


@pytest.mark.parametrize(
    ("source", "batches", "samples"),
    [
        (DataLoader(samples(), SIZE), 6, 22),
        (DataLoader(Stream(), SIZE), None, None),
        ([1, 2, 3], 3, None),
        (iter([1]), None, None),
    ],
)
def test_a_feed_knows_how_much_there_is(source: object, batches: int | None, samples: int | None) -> None:
    feed = feed_of(source)
    assert feed.num_batches == batches
    assert feed.describe() == {"batches": batches, "samples": samples}


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: DataLoader(Augmented(30), SIZE),
            r"6 batches \(22 samples\), .* has 8 batches \(30 samples\)",
        ),
        (lambda: DataLoader(Augmented(), 5), r"6 batches \(22 samples\), .* has 5 batches \(22 samples\)"),
        (lambda: DataLoader(Stream(), 5), r"6 batches \(22 samples\), .* has an unknown number of batches"),
    ],
)
def test_an_epoch_is_not_finished_on_other_data(make: Callable[[], object], told: str) -> None:
    state = feed_of(DataLoader(Augmented(), SIZE)).state_dict()
    with pytest.raises(
        UsageError, match=rf"^the checkpoint was made after 2 batches of an epoch of {told} now: "
    ):
        feed_of(make()).load_state_dict(state, position=2)
    feed_of(make()).load_state_dict(state, position=0)  # an epoch may begin with other data


def test_what_is_no_loader_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^the val data is no loader but a function: pass a DataLoader"):
        evaluation_feeds(draw)
    with pytest.raises(UsageError, match=r"^the train data is no loader but a NoneType"):
        feed_of([DataLoader(samples()), None])


def test_an_empty_loader_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"^the train loader has no batches: nothing is read from it$"):
        feed = feed_of(DataLoader(samples(), 40, drop_last=True))
    assert list(feed.batches(7, 0)) == []
