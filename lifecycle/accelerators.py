"""Kinds of devices, under the name where code written for Lightning looks for them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from lifecycle.core.names import also_named

if TYPE_CHECKING:
    from lifecycle.train.accelerators import Accelerator, CPUAccelerator, CUDAAccelerator, MPSAccelerator

__all__ = ["Accelerator", "CPUAccelerator", "CUDAAccelerator", "MPSAccelerator"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(
            f"module 'lifecycle.accelerators' has no attribute '{name}'; it offers: {', '.join(__all__)}"
        )
    return getattr(import_module("lifecycle.train.accelerators"), name)


also_named(
    __name__,
    (
        "accelerator",
        "cpu",
        "cuda",
        "mps",
    ),
)
