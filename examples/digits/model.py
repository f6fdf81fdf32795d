"""A small residual network for 8×8 handwritten digits."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import lifecycle as pl


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.relu2 = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(y)) + self.shortcut(x))


class ConvNet(pl.Module):
    """Takes raw pixels, 0 to 16, as the scanner gives them: `forward` scales them, here and when served.

    Args:
        width: Channels of the first stage; the second has twice as many.
        lr: The learning rate at its peak.
    """

    def __init__(self, width: int = 32, lr: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.lr = lr
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.blocks = nn.Sequential(Block(width, width), Block(width, 2 * width, stride=2))
        self.head = nn.Linear(2 * width, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image.float() / 16)
        return self.head(self.blocks(x).mean(dim=(2, 3)))

    def postprocess(self, outputs: Tensor) -> dict[str, Tensor]:
        return {"probabilities": outputs.softmax(dim=1)}

    def signature(self) -> pl.Signature:
        return pl.Signature(
            inputs=(pl.TensorSpec(name="image", dtype="uint8", shape=("batch", 1, 8, 8), range=(0, 16)),),
            outputs=(
                pl.TensorSpec(name="logits", dtype="float32", shape=("batch", 10)),
                pl.TensorSpec(name="probabilities", dtype="float32", shape=("batch", 10), range=(0, 1)),
            ),
            labels=tuple("0123456789"),
            task="classification",
        )

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, digits = batch
        loss = cross_entropy(self(images), digits)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.score(batch, "val")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.score(batch, "test")

    def score(self, batch: tuple[Tensor, Tensor], split: str) -> None:
        images, digits = batch
        logits = self(images)
        self.log(f"{split}_loss", cross_entropy(logits, digits))
        self.log(f"{split}_acc", (logits.argmax(dim=1) == digits).float().mean(), prog_bar=True)

    def configure_optimizers(self) -> dict[str, object]:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr, weight_decay=0.01)
        steps = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=self.lr, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
