"""What may be asked about devices and processes: there is one of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from lifecycle.train.accelerators import Accelerator
    from lifecycle.train.precision import Precision
    from lifecycle.train.strategies import SingleDeviceStrategy


class OneDevice:
    """The part of a trainer that knows where it runs.

    Attributes:
        accelerator: The kind of device.
        device: Where the module is.
        strategy: What is done across processes.
        precision_plugin: In which types the module computes.
    """

    accelerator: Accelerator
    device: torch.device
    strategy: SingleDeviceStrategy
    precision_plugin: Precision

    @property
    def precision(self) -> str:
        """In which types the module computes."""
        return self.precision_plugin.name

    @property
    def scaler(self) -> Any:
        """The scaler of losses in 16-mixed precision, or None."""
        return getattr(self.precision_plugin, "scaler", None)

    @property
    def global_rank(self) -> int:
        """Index of this process among all."""
        return 0

    @property
    def local_rank(self) -> int:
        """Index of this process on its machine."""
        return 0

    @property
    def node_rank(self) -> int:
        """Index of this machine."""
        return 0

    @property
    def world_size(self) -> int:
        """Processes in all."""
        return 1

    @property
    def num_nodes(self) -> int:
        """Machines in all."""
        return 1

    @property
    def num_devices(self) -> int:
        """Devices of this machine that are used."""
        return 1

    @property
    def device_ids(self) -> Sequence[int]:
        """Their indices."""
        return [self.device.index or 0]

    @property
    def is_global_zero(self) -> bool:
        """Whether this is the first process of all."""
        return True

    @property
    def distributed_sampler_kwargs(self) -> dict[str, Any] | None:
        """How samples are shared out between processes; None for one process."""
        return None
