"""A small convolutional network learns CIFAR-10: the classic first script."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from archive import Archive
from cifar10 import CIFAR10, TORONTO, augment
from stand_in import draw
from torch import Tensor, nn
from torch.utils.data import DataLoader

import lifecycle as pl


class Net(pl.LightningModule):
    """Two convolutions, each with ReLU and max-pooling, then three linear layers."""

    def __init__(self, lr: float = 0.001) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.example_input_array = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
        self.register_buffer("mean", torch.tensor([0.4914, 0.4822, 0.4465]).view(3, 1, 1))
        self.register_buffer("std", torch.tensor([0.2470, 0.2435, 0.2616]).view(3, 1, 1))
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, image: Tensor) -> Tensor:
        # Pixels come as they are stored, 0 to 255, in training and when the model is served.
        x = (image.float() / 255 - self.mean) / self.std
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = F.relu(self.fc1(x.flatten(1)))
        x = F.relu(self.fc2(x))
        return self.fc3(x)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self.score(batch, "train")

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.score(batch, "val")

    def score(self, batch: tuple[Tensor, Tensor], split: str) -> Tensor:
        images, labels = batch
        logits = self(images)
        loss = F.cross_entropy(logits, labels)
        self.log(f"{split}_loss", loss, prog_bar=True)
        self.log(f"{split}_acc", (logits.argmax(dim=1) == labels).float().mean(), prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)


def main(arguments: Sequence[str] | None = None, archive: Archive = TORONTO) -> pl.Trainer:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--epochs", type=int, default=10, help="passes over the training pictures (%(default)s)"
    )
    parser.add_argument(
        "--data", metavar="DIR", help="where CIFAR-10 lies or goes (~/.cache/lifecycle/cifar10)"
    )
    parser.add_argument(
        "--stand-in", action="store_true", help="learn drawn pictures instead, where CIFAR-10 cannot be had"
    )
    options = parser.parse_args(arguments)

    pl.seed_everything(7)
    if options.stand_in:
        trainset, testset = draw(1600, seed=0), draw(500, seed=2)
    else:
        trainset = CIFAR10(options.data, train=True, transform=augment, archive=archive)
        testset = CIFAR10(options.data, train=False, archive=archive)
    trainloader = DataLoader(trainset, batch_size=64, shuffle=True)
    testloader = DataLoader(testset, batch_size=500)

    model = Net()
    trainer = pl.Trainer(max_epochs=options.epochs)
    trainer.fit(model, trainloader, testloader)

    print(f"accuracy on {len(testset):,} other pictures: {trainer.callback_metrics['val_acc']:.4f}")
    print(f"checkpoint: {trainer.checkpoint_callback.best_model_path}")
    return trainer


if __name__ == "__main__":
    main()
