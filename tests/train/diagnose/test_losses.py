from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lifecycle as pl
from tests.train.diagnose.steps import Over, explained, zeros

LOGITS = zeros(4, 10)
CLASSES = "  expects: the index of a class for each of 4 samples: 4 of int64"


def classes(*numbers: int) -> Tensor:
    return torch.tensor(numbers)


class Classifier(pl.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(8, 16)
        self.head = nn.Linear(16, 10)
        self.loss = nn.CrossEntropyLoss()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self.loss(self.head(self.body(batch[0]).relu()), batch[1])  # type: ignore[no-any-return]


class ByLogarithm(Classifier):
    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return F.nll_loss(self.head(self.body(batch[0])).log_softmax(dim=1), batch[1])


@pytest.mark.parametrize(
    ("kind", "targets", "text"),
    [
        (
            Classifier,
            classes(0, 2, 12, 10),
            "cross_entropy got class 12 for 10 logits.\n"
            "  got:     12 at [2] of the targets, which go from 0 to 12\n"
            "  expects: classes from 0 to 9\n"
            "  write:   self.head = nn.Linear(16, 13)",
        ),
        (
            ByLogarithm,
            classes(0, 2, 12, 10),
            "nll_loss got class 12 for 10 logits.\n"
            "  got:     12 at [2] of the targets, which go from 0 to 12\n"
            "  expects: classes from 0 to 9\n"
            "  write:   self.head = nn.Linear(16, 13)",
        ),
        (
            Classifier,
            classes(1, 2, 3, 10),
            "cross_entropy got class 10 for 10 logits.\n"
            "  got:     10 at [3] of the targets, which go from 1 to 10\n"
            "  expects: classes from 0 to 9\n"
            "  write:   y = y - 1 if classes are counted from 1; or self.head = nn.Linear(16, 11)",
        ),
        (
            Classifier,
            classes(1, 2, 3, -1),
            "cross_entropy got class -1 for 10 logits.\n"
            "  got:     -1 at [3] of the targets, which go from -1 to 3\n"
            "  expects: classes from 0 to 9\n"
            "  write:   targets from 0 on, or cross_entropy(…, ignore_index=-1) if that stands for no class",
        ),
    ],
)
def test_classes_that_there_are_no_logits_for(kind: type[Classifier], targets: Tensor, text: str) -> None:
    assert explained(kind(), zeros(4, 8), targets) == text


def of_loss(loss: Callable[..., Tensor], predictions: Tensor, targets: Tensor) -> str | None:
    return explained(Over(nn.Identity(), loss), predictions, targets)


@pytest.mark.parametrize(
    ("predictions", "targets", "text"),
    [
        (
            LOGITS,
            classes(0, 1, 2, 3, 4),
            "cross_entropy got 4 predictions for 5 targets.\n"
            "  got:     predictions of 4×10, targets of 5\n"
            "  expects: the same first axis, that of samples\n"
            "  write:   predictions and targets of the same samples: look for what changes the first axis in forward",
        ),
        (
            LOGITS,
            zeros(4),
            "cross_entropy got float32 in place of classes.\n"
            "  got:     logits of 4×10, targets of 4 in float32\n"
            f"{CLASSES}\n"
            "  write:   y = y.long()",
        ),
        (
            LOGITS,
            zeros(4, dtype=torch.int32),
            "cross_entropy got int32 in place of classes.\n"
            "  got:     logits of 4×10, targets of 4 in int32\n"
            f"{CLASSES}\n"
            "  write:   y = y.long()",
        ),
        (
            LOGITS,
            zeros(4, 1, dtype=torch.int64),
            "cross_entropy got targets with an axis too many.\n"
            "  got:     logits of 4×10, targets of 4×1 in int64\n"
            f"{CLASSES}\n"
            "  write:   y = y.squeeze(1)",
        ),
        (
            LOGITS,
            zeros(4, 1),
            "cross_entropy got targets with an axis too many.\n"
            "  got:     logits of 4×10, targets of 4×1 in float32\n"
            f"{CLASSES}\n"
            "  write:   y = y.squeeze(1).long()",
        ),
        (
            LOGITS,
            zeros(4, 10, dtype=torch.int64),
            "cross_entropy got one-hot targets in whole numbers.\n"
            "  got:     logits of 4×10, targets of 4×10 in int64\n"
            f"{CLASSES}, or a probability for each class in float32\n"
            "  write:   y = y.argmax(dim=1), or y = y.float()",
        ),
        (
            zeros(4, 7, 10),
            zeros(4, 7, dtype=torch.int64),
            "cross_entropy wants classes on the second axis, and they are on the last.\n"
            "  got:     logits of 4×7×10, targets of 4×7 in int64\n"
            "  expects: logits of 4×10×7\n"
            "  write:   cross_entropy(logits.movedim(-1, 1), y)",
        ),
        (
            zeros(4, 1),
            classes(0, 1, 0, 1),
            "cross_entropy got class 1 for 1 logit.\n"
            "  got:     1 at [1] of the targets, which go from 0 to 1\n"
            "  expects: classes from 0 to 0\n"
            "  write:   binary_cross_entropy_with_logits(logits.squeeze(1), y.float()) for one logit, or two logits",
        ),
    ],
)
def test_targets_that_cross_entropy_does_not_take(predictions: Tensor, targets: Tensor, text: str) -> None:
    assert of_loss(F.cross_entropy, predictions, targets) == text


def test_ignored_targets_are_not_out_of_range() -> None:
    def ignoring(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, ignore_index=-7)

    text = of_loss(ignoring, LOGITS, classes(0, -7, 11, 1))
    assert text is not None and text.startswith("cross_entropy got class 11 for 10 logits.\n")
    assert "which go from 0 to 11" in text


BINARY = F.binary_cross_entropy_with_logits


@pytest.mark.parametrize(
    ("loss", "predictions", "targets", "text"),
    [
        (
            BINARY,
            zeros(4, 1),
            zeros(4),
            "binary_cross_entropy_with_logits got predictions and targets of different shapes.\n"
            "  got:     predictions of 4×1, targets of 4\n"
            "  expects: the same shape\n"
            "  write:   binary_cross_entropy_with_logits(predictions.squeeze(-1), y)",
        ),
        (
            F.binary_cross_entropy,
            zeros(4),
            zeros(4, 1),
            "binary_cross_entropy got predictions and targets of different shapes.\n"
            "  got:     predictions of 4, targets of 4×1\n"
            "  expects: the same shape\n"
            "  write:   binary_cross_entropy(predictions, y.squeeze(-1))",
        ),
        (
            BINARY,
            zeros(4),
            zeros(4, dtype=torch.int64),
            "binary_cross_entropy_with_logits got int64 targets.\n"
            "  got:     4 of int64\n"
            "  expects: float32\n"
            "  write:   y = y.float()",
        ),
        (
            F.binary_cross_entropy,
            torch.tensor([-0.5, 0.5, 2.0]),
            zeros(3),
            "binary_cross_entropy got numbers that are no probabilities.\n"
            "  got:     predictions from -0.5 to 2\n"
            "  expects: 0 to 1\n"
            "  write:   binary_cross_entropy_with_logits, which takes what a Linear gives",
        ),
    ],
)
def test_targets_that_other_losses_do_not_take(
    loss: Callable[..., Tensor], predictions: Tensor, targets: Tensor, text: str
) -> None:
    assert of_loss(loss, predictions, targets) == text


def test_regression_to_another_shape() -> None:
    with pytest.warns(UserWarning, match="different to the input size"):
        text = of_loss(F.mse_loss, zeros(4, 2), zeros(4, 3))
    assert text == (
        "mse_loss got predictions and targets of different shapes.\n"
        "  got:     predictions of 4×2, targets of 4×3\n"
        "  expects: the same shape\n"
        "  write:   predictions and targets of one shape"
    )
