from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lifecycle as pl
from tests.train.diagnose.steps import Over, explained, of, zeros


class Tagger(pl.Module):
    """Words, an LSTM, and a layer that takes what the LSTM returns."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10, 4)
        self.lstm = nn.LSTM(4, 16, batch_first=True)
        self.head = nn.Linear(16, 2)

    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.lstm(self.words(words)))  # type: ignore[no-any-return]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self(batch[0]).sum()  # type: ignore[no-any-return]


def test_what_an_lstm_returns_is_no_tensor() -> None:
    assert explained(Tagger(), torch.tensor([[1, 2, 3]])) == (
        "head (Linear) got the outputs and the state of lstm (LSTM).\n"
        "  got:     a tuple (1×3×16, (1×1×16, 1×1×16))\n"
        "  expects: a tensor\n"
        "  write:   x, state = self.lstm(x), and pass on x"
    )


def test_an_lstm_does_not_go_into_a_sequential() -> None:
    text = of(nn.Sequential(nn.LSTM(4, 16), nn.Linear(16, 2)), zeros(3, 1, 4))
    assert text is not None and text.endswith(
        "  write:   x, state = self.lstm(x), and pass on x; "
        "a Sequential cannot do that, so keep layer.0 (LSTM) out of it"
    )


class Whole(Tagger):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self(batch).sum()  # type: ignore[no-any-return]


def test_a_batch_that_was_not_taken_apart() -> None:
    assert explained(Whole(), zeros(2, 3), zeros(2)) == (
        "Whole got a whole batch in place of its inputs.\n"
        "  got:     a tuple (2×3, 2)\n"
        "  expects: a tensor\n"
        "  write:   x, y = batch, and pass on x"
    )


def test_a_batch_with_names_that_was_not_taken_apart() -> None:
    assert of(nn.Linear(2, 1), {"name": "a", "image": zeros(4, 2)}) == (
        "Over got a whole batch in place of its inputs.\n"
        "  got:     a dict {'name': 'a', 'image': 4×2}\n"
        "  expects: a tensor\n"
        "  write:   x = batch['image'], and pass on x"
    )


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        (
            torch.tensor([[1, 2], [3, 10], [12, 0]]),
            "words (Embedding) has no index 10.\n"
            "  got:     10 at [1, 1] of 3×2, and 1 more\n"
            "  expects: 0 to 9, by nn.Embedding(10, 4)\n"
            "  write:   self.words = nn.Embedding(13, 4), if all these indices are meant",
        ),
        (
            torch.tensor([[1, -1]]),
            "words (Embedding) has no index -1.\n"
            "  got:     -1 at [0, 1] of 1×2\n"
            "  expects: 0 to 9, by nn.Embedding(10, 4)\n"
            "  write:   indices from 0 on; give padding an index of its own, and padding_idx= that",
        ),
        (
            zeros(2, 3),
            "words (Embedding) got float32 in place of indices.\n"
            "  got:     2×3 of float32\n"
            "  expects: int64, from 0 to 9, by nn.Embedding(10, 4)\n"
            "  write:   x = x.long() before it; make sure that these are indices",
        ),
        (
            zeros(2, 3, dtype=torch.uint8),
            "words (Embedding) got uint8 in place of indices.\n"
            "  got:     2×3 of uint8\n"
            "  expects: int64, from 0 to 9, by nn.Embedding(10, 4)\n"
            "  write:   x = x.long() before it",
        ),
    ],
)
def test_what_an_embedding_does_not_have(ids: Tensor, text: str) -> None:
    assert explained(Tagger(), ids) == text


def test_a_bag_of_embeddings_is_one_too() -> None:
    text = of(nn.EmbeddingBag(10, 4), torch.tensor([[1, 12]]))
    assert text is not None and text.startswith("layer (EmbeddingBag) has no index 12.\n")


@pytest.mark.parametrize(
    ("layer", "inputs", "text"),
    [
        (
            nn.LSTM(10, 16, batch_first=True),
            zeros(4, 7, 8),
            "layer (LSTM) is made for 10 features, and gets 8.\n"
            "  got:     4×7×8\n"
            "  expects: 4×7×10, by nn.LSTM(10, 16, batch_first=True)\n"
            "  write:   self.layer = nn.LSTM(8, 16, batch_first=True)",
        ),
        (
            nn.GRU(10, 16, num_layers=2, dropout=0.5),
            zeros(7, 8),
            "layer (GRU) is made for 10 features, and gets 8.\n"
            "  got:     7×8\n"
            "  expects: 7×10, by nn.GRU(10, 16, num_layers=2, dropout=0.5)\n"
            "  write:   self.layer = nn.GRU(8, 16, num_layers=2, dropout=0.5)",
        ),
        (
            nn.RNN(10, 16, bidirectional=True),
            zeros(4, 7, 8, 2),
            "layer (RNN) wants 3 axes, and gets 4.\n"
            "  got:     4×7×8×2\n"
            "  expects: steps×samples×10, by nn.RNN(10, 16, bidirectional=True)\n"
            "  write:   x = x.flatten(2) before it, which gives 4×7×16",
        ),
        (
            nn.GRU(10, 16, batch_first=True),
            zeros(4),
            "layer (GRU) wants 3 axes, and gets 1.\n"
            "  got:     4\n"
            "  expects: samples×steps×10, by nn.GRU(10, 16, batch_first=True)",
        ),
    ],
)
def test_what_recurrent_layers_do_not_take(layer: nn.Module, inputs: Tensor, text: str) -> None:
    assert of(layer, inputs) == text


class WithState(Over):
    def forward(self, inputs: tuple[Tensor, Any]) -> Any:
        return self.layer(*inputs)[0]


@pytest.mark.parametrize(
    ("layer", "state", "text"),
    [
        (
            nn.LSTM(10, 16),
            (zeros(1, 4, 16), zeros(1, 4, 16)),
            "layer (LSTM) got a first state for another number of samples or layers.\n"
            "  got:     a state of (1×4×16, 1×4×16) with an input of 4×7×10\n"
            "  expects: 1×7×16 for 7 samples, by nn.LSTM(10, 16)\n"
            "  write:   self.layer = nn.LSTM(10, 16, batch_first=True), if the first axis is that of samples",
        ),
        (
            nn.GRU(10, 16, num_layers=2, batch_first=True),
            zeros(1, 4, 16),
            "layer (GRU) got a first state for another number of samples or layers.\n"
            "  got:     a state of 1×4×16 with an input of 4×7×10\n"
            "  expects: 2×4×16 for 4 samples, by nn.GRU(10, 16, num_layers=2, batch_first=True)\n"
            "  write:   torch.zeros(2, 4, 16) as each part of the state, or none at all",
        ),
    ],
)
def test_a_first_state_of_another_shape(layer: nn.Module, state: object, text: str) -> None:
    assert explained(WithState(layer), (zeros(4, 7, 10), state)) == text


def test_attention_over_other_features() -> None:
    assert of(nn.TransformerEncoderLayer(16, 4, batch_first=True), zeros(2, 5, 8)) == (
        "layer.self_attn (MultiheadAttention) is made for 16 features, and gets 8.\n"
        "  got:     2×5×8\n"
        "  expects: 2×5×16\n"
        "  write:   d_model=8 where TransformerEncoderLayer is made"
    )

    class Alone(Over):
        def forward(self, inputs: Tensor) -> Any:
            return self.layer(inputs, inputs, inputs)

    text = explained(Alone(nn.MultiheadAttention(16, 4)), zeros(2, 5, 8))
    assert text is not None and text.endswith("  write:   embed_dim=8 where it is made")
