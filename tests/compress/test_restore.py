from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lifecycle.compress.restore import load_pruned
from lifecycle.compress.structured_pruning import StructuredPruning
from lifecycle.core.errors import UsageError
from tests.compress.test_structured_pruning import IMAGES, Classifier, loader, trainer


def test_a_pruned_module_is_read_from_its_checkpoint_and_trains_on(tmp_path: Path) -> None:
    module = Classifier()
    work = trainer(tmp_path, StructuredPruning(macs=0.5, steps=2, every_n_steps=4))
    work.fit(module, loader())
    work.save_checkpoint(tmp_path / "pruned.ckpt")
    found = load_pruned(Classifier, tmp_path / "pruned.ckpt")
    with torch.no_grad():
        assert torch.equal(found.eval()(IMAGES), module.eval()(IMAGES))
    trainer(tmp_path).fit(found, loader())


def test_a_checkpoint_of_a_dense_module_is_refused_with_what_reads_it(tmp_path: Path) -> None:
    work = trainer(tmp_path)
    work.fit(Classifier(), loader())
    work.save_checkpoint(tmp_path / "dense.ckpt")
    with pytest.raises(
        UsageError, match=r"dense\.ckpt tells of no pruning\nClassifier\.load_from_checkpoint reads"
    ):
        load_pruned(Classifier, tmp_path / "dense.ckpt")
