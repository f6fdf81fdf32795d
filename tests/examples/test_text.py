"""The text example: what holds for texts of any length, without reading the 3,000."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from torch.utils.data import DataLoader

import lifecycle as pl
from tests.examples.folders import EXAMPLES, imported

Modules = tuple[ModuleType, ModuleType, ModuleType]


@pytest.fixture(scope="module")
def modules() -> Iterator[Modules]:
    with imported(EXAMPLES / "text", "words", "data", "model") as (words, data, model):
        yield words, data, model


def test_words_are_numbers_wherever_they_are_counted(modules: Modules) -> None:
    words = modules[0]
    assert words.encode("Returns a view.") == words.encode("returns, a VIEW")
    assert len(words.encode("word " * 100)) == words.LONGEST
    numbers = words.encode("a b c")
    assert all(0 < number < words.VOCABULARY for number in numbers)
    assert words.pad([[1], [2, 3]]) == [[1, words.PADDING], [2, 3]]


def test_a_text_gets_the_same_answer_beside_a_longer_one(modules: Modules) -> None:
    words, _, model = modules
    torch.manual_seed(0)
    net = model.TextClassifier().eval()
    short, long = words.encode("Fit the estimator."), words.encode("Returns a tensor " * 8)
    alone = net(torch.tensor([short]))
    assert torch.allclose(net(torch.tensor(words.pad([short, long])))[:1], alone, atol=1e-6)
    assert torch.isfinite(net(torch.zeros(2, 5, dtype=torch.int64))).all(), "nothing but padding"


def test_it_learns_to_tell_texts_apart(modules: Modules) -> None:
    words, data, model = modules
    texts = {
        0: "an array of the given shape",
        1: "a tensor on a device",
        2: "fit an estimator",
        3: "log a run",
    }
    samples = [
        (words.encode(f"{text} {number}"), label) for label, text in texts.items() for number in range(32)
    ]
    loader = DataLoader(samples, 32, shuffle=True, collate_fn=data.collate)
    pl.seed_everything(0)
    net = model.TextClassifier(layers=1)
    trainer = pl.Trainer(
        max_epochs=4, logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu"
    )
    trainer.fit(net, loader)
    (scores,) = trainer.test(net, DataLoader(samples, 64, collate_fn=data.collate), verbose=False)
    assert scores["test_acc"] > 0.9
