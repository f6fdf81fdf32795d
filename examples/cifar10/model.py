"""The network of `train.py` as pipelines want it: with a test, probabilities, and names of its classes."""

from __future__ import annotations

from torch import Tensor

import lifecycle as pl
from train import Net

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class ServedNet(Net):
    """Scored on the test split, and described for export and serving."""

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.score(batch, "test")

    def postprocess(self, outputs: Tensor) -> dict[str, Tensor]:
        return {"probabilities": outputs.softmax(dim=1)}

    def signature(self) -> pl.Signature:
        return pl.Signature(
            inputs=(pl.TensorSpec(name="image", dtype="uint8", shape=("batch", 3, 32, 32), range=(0, 255)),),
            outputs=(
                pl.TensorSpec(name="logits", dtype="float32", shape=("batch", 10)),
                pl.TensorSpec(name="probabilities", dtype="float32", shape=("batch", 10), range=(0, 1)),
            ),
            labels=CLASSES,
            task="classification",
        )
