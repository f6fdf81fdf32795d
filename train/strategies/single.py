"""One process, one device: what would be done with the others is done with nobody."""

from __future__ import annotations

import torch

from lifecycle.train.strategies.base import Strategy


class SingleDeviceStrategy(Strategy):
    """The whole module on one device.

    Args:
        device: Where the module is.

    Attributes:
        root_device: The same.
    """

    def __init__(self, device: torch.device | str | int = "cpu") -> None:
        self.root_device = torch.device(device)
