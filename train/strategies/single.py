"""One process, one device: what would be done with the others is done with nobody."""

from __future__ import annotations

from typing import Any, TypeVar

import torch

T = TypeVar("T")


class SingleDeviceStrategy:
    """What modules and callbacks may ask to be done across processes.

    Args:
        device: Where the module is.

    Attributes:
        root_device: The same.
    """

    def __init__(self, device: torch.device | str | int = "cpu") -> None:
        self.root_device = torch.device(device)

    @property
    def is_global_zero(self) -> bool:
        """Whether this is the first process of all."""
        return True

    @property
    def global_rank(self) -> int:
        """Index of this process among all."""
        return 0

    @property
    def local_rank(self) -> int:
        """Index of this process on its machine."""
        return 0

    @property
    def world_size(self) -> int:
        """Processes in all."""
        return 1

    def barrier(self, name: str | None = None) -> None:
        """Wait for all processes."""

    def broadcast(self, obj: T, src: int = 0) -> T:
        """What the process `src` has."""
        return obj

    def reduce(self, tensor: T, *args: Any, **options: Any) -> T:
        """Values of all processes, reduced."""
        return tensor

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        """Whether all processes (or any) say so."""
        return decision

    def all_gather(self, tensor: T, group: object = None, sync_grads: bool = False) -> T:
        """Values of all processes."""
        return tensor
