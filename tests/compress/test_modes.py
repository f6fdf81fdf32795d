from __future__ import annotations

import logging
import subprocess
import sys

import torch
from torch import nn

from lifecycle.compress.modes import copied, silent_import
from lifecycle.train.modes import mode_of


class Host(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.trainer: object = None


def test_a_copy_shares_no_tensor_and_refers_to_the_trainer() -> None:
    host = Host()
    host.trainer = object()
    twin = copied(host)
    assert twin.trainer is host.trainer
    assert twin.layer.weight is not host.layer.weight
    assert torch.equal(twin.layer.weight, host.layer.weight)


def test_modes_come_back_after_an_error() -> None:
    module = nn.Sequential(nn.Dropout(), nn.Dropout())
    module[1].eval()
    try:
        with mode_of(module, training=False):
            assert not module[0].training
            raise KeyError
    except KeyError:
        pass
    assert module[0].training and not module[1].training


def test_what_stands_on_torchao_is_imported_without_a_word() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import lifecycle.compress.harm"], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_loggers_speak_again_after_a_silent_import() -> None:
    before = logging.getLogger("torchao").level
    with silent_import():
        assert not logging.getLogger("torchao").isEnabledFor(logging.WARNING)
    assert logging.getLogger("torchao").level == before
