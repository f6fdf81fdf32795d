from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from tests.train.feeds.reading import draw, read


def test_a_sequence_is_not_read_again() -> None:
    class Batches(Sequence[list[float]]):
        def __init__(self) -> None:
            self.read: list[int] = []

        def __len__(self) -> int:
            return 5

        def __getitem__(self, index: Any) -> list[float]:
            self.read.append(index)
            return [index, *draw()]

    batches = Batches()
    expected = read(batches)
    batches.read.clear()
    assert read(batches, start=3) == expected[3:]
    assert batches.read == [3, 4]
    tensors = [torch.zeros(2), torch.ones(2)]
    assert read(tensors, start=1)[0] is tensors[1]
    assert read((1, 2, 3), start=1) == [2, 3]
