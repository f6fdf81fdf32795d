"""Google's TPUs, through torch_xla where that is installed; it is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar

import torch

from lifecycle.train.accelerators import Accelerator
from lifecycle.train.device_indices import Devices, indices_of


class XLAAccelerator(Accelerator):
    """TPUs. Written after torch_xla's manual, and run by nobody here: there was none to try it on."""

    install_hint: ClassVar[str] = (
        "Run `pip install torch_xla[tpu]` of torch's own version on a machine with TPUs; "
        "elsewhere pass accelerator='auto'."
    )

    def get_device_stats(self, device: torch.device | str | int) -> dict[str, float]:
        """Memory on the device in bytes."""
        found = _xla("core.xla_model").get_memory_info(device)
        return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}

    @staticmethod
    def parse_devices(devices: Devices) -> list[int]:
        """Indices of devices."""
        return indices_of(devices, XLAAccelerator.auto_device_count(), "TPU")

    @staticmethod
    def get_parallel_devices(devices: Devices) -> list[torch.device]:
        """The devices of these indices."""
        return [torch.device("xla", index) for index in XLAAccelerator.parse_devices(devices)]

    @staticmethod
    def auto_device_count() -> int:
        """Devices of this machine."""
        return int(_xla("runtime").addressable_device_count())

    @staticmethod
    def is_available() -> bool:
        """Whether torch_xla is installed, and finds a TPU."""
        return find_spec("torch_xla") is not None and _xla("runtime").device_type() == "TPU"

    @staticmethod
    def name() -> str:
        """``xla``."""
        return "xla"


def _xla(name: str) -> Any:
    return import_module(f"torch_xla.{name}")
