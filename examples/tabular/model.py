"""A small network for rows of numbers, judged by the mistake that costs most."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics import MetricCollection
from torchmetrics.classification import BinaryAccuracy, BinaryRecall

import lifecycle as pl

FEATURES = 30
LABELS = ("benign", "malignant")


class TumourNet(pl.Module):
    """Takes rows as they were measured; the first layer scales each column, here and when served.

    Args:
        width: Units of the hidden layers.
        lr: The learning rate.
        missed: How much worse a malignant tumour that is missed is than a false alarm.
    """

    def __init__(self, width: int = 64, lr: float = 0.003, missed: float = 3.0) -> None:
        super().__init__()
        self.lr = lr
        self.scale = nn.BatchNorm1d(FEATURES, affine=False)  # learns mean and deviation of each column
        self.layers = nn.Sequential(nn.Linear(FEATURES, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.head = nn.Linear(width, len(LABELS))
        self.register_buffer("weight", torch.tensor([1.0, missed]))
        scores = MetricCollection({"acc": BinaryAccuracy(), "recall": BinaryRecall()})
        self.val_scores, self.test_scores = scores.clone(prefix="val_"), scores.clone(prefix="test_")

    def forward(self, row: Tensor) -> Tensor:
        return self.head(self.layers(self.scale(row)))

    def postprocess(self, outputs: Tensor) -> dict[str, Tensor]:
        return {"probabilities": outputs.softmax(dim=1)}

    def signature(self) -> pl.Signature:
        return pl.Signature(
            inputs=(pl.TensorSpec(name="row", dtype="float32", shape=("batch", FEATURES)),),
            outputs=(
                pl.TensorSpec(name="logits", dtype="float32", shape=("batch", 2)),
                pl.TensorSpec(name="probabilities", dtype="float32", shape=("batch", 2), range=(0, 1)),
            ),
            labels=LABELS,
            task="classification",
        )

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        rows, labels = batch
        loss = cross_entropy(self(rows), labels, self.weight)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.score(batch, self.val_scores)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.score(batch, self.test_scores)

    def score(self, batch: tuple[Tensor, Tensor], scores: MetricCollection) -> None:
        rows, labels = batch
        # A batch may hold no malignant tumour: recall is counted over the whole split.
        scores.update(self(rows).argmax(dim=1), labels)
        self.log_dict(scores)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.lr, weight_decay=0.01)
