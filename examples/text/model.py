"""A small transformer that reads text of any length and says what it is about."""

import torch
from data import LABELS
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from words import LONGEST, PADDING, VOCABULARY

import lifecycle as pl


class Attention(nn.Module):
    """Self-attention of several heads (Vaswani et al. 2017), which does not look at padding."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        # A finite number: were a whole row padding, -inf would make it NaN.
        scores = scores.masked_fill(~there[:, None, None, :], -1e4)
        mixed = scores.softmax(dim=-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class Layer(nn.Module):
    """Attention, then two linear layers at each place, both beside a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x), there)
        return x + self.mlp(self.norm2(x))


class TextClassifier(pl.Module):
    """Takes numbers of words, padded with 0 where a batch holds shorter texts.

    Args:
        width: Of a word's vector.
        layers: How many.
        heads: Of attention.
        lr: The learning rate.
    """

    def __init__(self, width: int = 48, layers: int = 2, heads: int = 3, lr: float = 0.003) -> None:
        super().__init__()
        self.lr = lr
        self.words = nn.Embedding(VOCABULARY, width, padding_idx=PADDING)
        self.places = nn.Parameter(0.02 * torch.randn(LONGEST, width))
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(width, len(LABELS))

    def forward(self, ids: Tensor) -> Tensor:
        there = ids != PADDING
        x = self.dropout(self.words(ids) + self.places[: ids.shape[1]])
        for layer in self.layers:
            x = layer(x, there)
        weight = there.unsqueeze(-1).float()
        mean = (self.norm(x) * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
        return self.head(mean)

    def postprocess(self, outputs: Tensor) -> dict[str, Tensor]:
        return {"probabilities": outputs.softmax(dim=1)}

    def signature(self) -> pl.Signature:
        """Batch and length are free, within these limits: what is exported is proven over them."""
        count = len(LABELS)
        return pl.Signature(
            inputs=(
                pl.TensorSpec(
                    name="ids", dtype="int64", shape=("batch", "length"), range=(0, VOCABULARY - 1)
                ),
            ),
            outputs=(
                pl.TensorSpec(name="logits", dtype="float32", shape=("batch", count)),
                pl.TensorSpec(name="probabilities", dtype="float32", shape=("batch", count), range=(0, 1)),
            ),
            labels=LABELS,
            task="classification",
            axes={"batch": (1, 128), "length": (1, LONGEST)},
        )

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        ids, labels = batch
        loss = cross_entropy(self(ids), labels)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.score(batch, "val")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.score(batch, "test")

    def score(self, batch: tuple[Tensor, Tensor], split: str) -> None:
        ids, labels = batch
        logits = self(ids)
        self.log(f"{split}_loss", cross_entropy(logits, labels))
        self.log(f"{split}_acc", (logits.argmax(dim=1) == labels).float().mean(), prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.lr, weight_decay=0.01)
