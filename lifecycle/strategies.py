"""How a module is spread over devices."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from lifecycle.core.names import also_named

if TYPE_CHECKING:
    from lifecycle.train.strategies import DDPStrategy, ParallelStrategy, SingleDeviceStrategy, Strategy
    from lifecycle.train.strategies.fsdp import FSDPStrategy

__all__ = [
    "DDPStrategy",
    "FSDPStrategy",
    "ParallelStrategy",
    "SingleDeviceStrategy",
    "Strategy",
]

_HOME = {
    "DDPStrategy": "lifecycle.train.strategies",
    "FSDPStrategy": "lifecycle.train.strategies.fsdp",
    "ParallelStrategy": "lifecycle.train.strategies",
    "SingleDeviceStrategy": "lifecycle.train.strategies",
    "Strategy": "lifecycle.train.strategies",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(
            f"module '{__name__}' has no attribute '{name}'; it offers: {', '.join(__all__)}"
        )
    return getattr(import_module(_HOME[name]), name)


also_named(__name__, ("single_device", "ddp", "fsdp", "parallel", "strategy"))
