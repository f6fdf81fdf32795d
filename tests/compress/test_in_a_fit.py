from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lifecycle.compress.cost import count_cost
from lifecycle.compress.qat import QuantizationAwareTraining
from lifecycle.compress.quantizer import convert_quantized, is_quantized
from lifecycle.compress.structured_pruning import StructuredPruning
from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.module import Module
from lifecycle.train.trainer import Trainer
from tests.compress.networks import EXAMPLE, Residual, digits

IMAGES, LABELS = digits()[0]
LOADER = list(zip(IMAGES[:256].split(64), LABELS[:256].split(64), strict=True))


class Classifier(Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = Residual(8)
        self.example_input_array = EXAMPLE[0]

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.network.parameters(), lr=0.05)


def trainer(folder: Path, *callbacks: Callback, epochs: int = 2) -> Trainer:
    return Trainer(
        max_epochs=epochs,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        default_root_dir=folder,
    )


def test_a_module_is_pruned_before_its_optimizer_is_made(tmp_path: Path) -> None:
    module = Classifier()
    dense = count_cost(module, EXAMPLE)
    pruning = StructuredPruning(macs=0.5)
    first = trainer(tmp_path, pruning)
    first.fit(module, LOADER)
    assert pruning.edit is not None
    assert count_cost(module, EXAMPLE).macs == pruning.edit.after.macs <= 0.5 * dense.macs
    weight = module.network.stem[0].weight.detach().clone()
    trainer(tmp_path, pruning).fit(module, LOADER)
    assert count_cost(module, EXAMPLE).macs == pruning.edit.after.macs  # not once more
    assert not torch.equal(weight, module.network.stem[0].weight)


class Recorder(Callback):
    """Ranges and running means at the end of each epoch."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Tensor]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Module) -> None:
        self.seen.append(copy.deepcopy(pl_module.state_dict()))


def test_quantization_is_trained_through_and_settles_for_the_last_part(tmp_path: Path) -> None:
    module, recorder = Classifier(), Recorder()
    rounding = QuantizationAwareTraining(calibration_batches=[(LOADER[0][0],)], freeze_after=0.5)
    trainer(tmp_path, rounding, recorder, epochs=4).fit(module, LOADER)
    assert rounding.edit is not None and rounding.edit.method == "qat"
    assert is_quantized(module)

    def changed(part: str, one: int, other: int) -> bool:
        before, after = recorder.seen[one], recorder.seen[other]
        return any(not torch.equal(before[name], after[name]) for name in before if name.endswith(part))

    for part in ("scale", "running_mean"):
        assert changed(part, 0, 1) and not changed(part, 2, 3)
    assert changed("conv1.weight", 2, 3)
    with torch.no_grad():
        assert convert_quantized(module)(IMAGES).shape == (len(IMAGES), 10)


def test_both_in_a_row_train_one_optimizer_over_the_pruned_parameters(tmp_path: Path) -> None:
    module = Classifier()
    pruning = StructuredPruning(macs=0.5)
    rounding = QuantizationAwareTraining(calibration_batches=[(LOADER[0][0],)])
    trainer(tmp_path, pruning, rounding).fit(module, LOADER)
    weights = [part.weight for part in module.network.modules() if isinstance(part, nn.Conv2d)]
    assert pruning.edit is not None and len(weights) == 6
    assert all(weight.grad is not None and weight.grad.any() for weight in weights)


def test_a_fraction_beyond_one_is_refused() -> None:
    with pytest.raises(UsageError, match="freeze_after: expected a fraction from 0 to 1, got 7"):
        QuantizationAwareTraining(calibration_batches=[], freeze_after=7)
