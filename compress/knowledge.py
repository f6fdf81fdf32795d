"""How far a student is from its teacher: on the outputs, and on features inside."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lifecycle.core.errors import UsageError

OutputLoss = Literal["kl", "mse"]


def output_loss(student: Tensor, teacher: Tensor, *, kind: OutputLoss, temperature: float) -> Tensor:
    """The distance of two outputs.

    ``kl`` is the Kullback-Leibler divergence of the softmax over axis 1 at a temperature, times its square,
    so that gradients keep their size (Hinton et al. 2015, https://arxiv.org/abs/1503.02531); averaged over
    everything but the classes. ``mse`` is for outputs that are no scores.

    Args:
        student: Scores ``[samples, classes, …]``, or values of any shape.
        teacher: Alike.
        kind: Which distance.
        temperature: Softens the scores; of no use to ``mse``.

    Raises:
        UsageError: shapes differ, or there are no classes to compare by ``kl``.
    """
    if student.shape != teacher.shape:
        raise UsageError(
            f"the teacher gives {tuple(teacher.shape)} where the student gives {tuple(student.shape)}: "
            "a teacher has the student's outputs"
        )
    if kind == "mse":
        return F.mse_loss(student.float(), teacher.float())
    if student.ndim < 2 or student.shape[1] < 2:
        raise UsageError(
            f"kl compares scores of classes along axis 1, and the outputs are {tuple(student.shape)}",
            hint="pass kind='mse' for values that are no scores",
        )
    wanted = F.log_softmax(teacher.float() / temperature, dim=1)
    found = F.log_softmax(student.float() / temperature, dim=1)
    return temperature**2 * F.kl_div(found, wanted, reduction="none", log_target=True).sum(1).mean()


def similarity_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """How differently two layers tell the samples of a batch apart, whatever their numbers of channels.

    The rows of each one's matrix of inner products between samples are normalised and compared (Tung and Mori
    2019, https://arxiv.org/abs/1907.09682), so that a pruned layer can learn from the whole one without a
    projection between them.

    Args:
        student: ``[samples, …]``.
        teacher: ``[samples, …]``.
    """
    grams = []
    for features in (student, teacher):
        flat = features.float().flatten(1)
        grams.append(F.normalize(flat @ flat.T, dim=1))
    return (grams[0] - grams[1]).square().sum() / torch.tensor(len(student)).square()
