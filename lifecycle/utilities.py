"""Small things that scripts written for Lightning import."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lifecycle.train.combined import CombinedLoader
    from lifecycle.train.data import move_data_to_device
    from lifecycle.train.gradients import grad_norm
    from lifecycle.train.rank_zero import rank_zero_debug, rank_zero_info, rank_zero_only, rank_zero_warn

__all__ = [
    "CombinedLoader",
    "grad_norm",
    "move_data_to_device",
    "rank_zero_debug",
    "rank_zero_info",
    "rank_zero_only",
    "rank_zero_warn",
]

_HOME = {
    "CombinedLoader": "lifecycle.train.combined",
    "grad_norm": "lifecycle.train.gradients",
    "move_data_to_device": "lifecycle.train.data",
    "rank_zero_debug": "lifecycle.train.rank_zero",
    "rank_zero_info": "lifecycle.train.rank_zero",
    "rank_zero_only": "lifecycle.train.rank_zero",
    "rank_zero_warn": "lifecycle.train.rank_zero",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(
            f"module '{__name__}' has no attribute '{name}'; it offers: {', '.join(__all__)}"
        )
    return getattr(import_module(_HOME[name]), name)
