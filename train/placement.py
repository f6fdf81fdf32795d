"""What may be asked of a trainer about devices and processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lifecycle.train.feeds.shards import Shard
from lifecycle.train.seeding import mix

if TYPE_CHECKING:
    import torch

    from lifecycle.train.accelerators import Accelerator
    from lifecycle.train.precision import Precision
    from lifecycle.train.strategies import Strategy


class Placement:
    """The part of a trainer that knows where it runs.

    Attributes:
        accelerator: The kind of device.
        device: Where the module of this process is.
        strategy: What is done across processes.
        precision_plugin: In which types the module computes.
        use_distributed_sampler: Whether the samples of a loader are shared out between processes.
    """

    accelerator: Accelerator
    device: torch.device
    strategy: Strategy
    precision_plugin: Precision
    use_distributed_sampler: bool

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
        return self.strategy.global_rank

    @property
    def local_rank(self) -> int:
        """Index of this process on its machine."""
        return self.strategy.local_rank

    @property
    def node_rank(self) -> int:
        """Index of this machine."""
        return self.strategy.node_rank

    @property
    def world_size(self) -> int:
        """Processes in all."""
        return self.strategy.world_size

    @property
    def num_nodes(self) -> int:
        """Machines in all."""
        return self.strategy.num_nodes

    @property
    def num_devices(self) -> int:
        """Devices of this machine that are used."""
        return self.strategy.num_processes

    @property
    def device_ids(self) -> Sequence[int]:
        """Their indices."""
        if self.num_devices == 1:
            return [self.device.index or 0]
        return list(range(self.num_devices))

    @property
    def is_global_zero(self) -> bool:
        """Whether this is the first process of all."""
        return self.strategy.is_global_zero

    @property
    def distributed_sampler_kwargs(self) -> dict[str, Any] | None:
        """How samples are shared out between processes; None for one process."""
        if self.world_size == 1:
            return None
        return {"num_replicas": self.world_size, "rank": self.global_rank}

    @property
    def shard(self) -> Shard:
        """Which samples of a loader this process reads."""
        splits = self.use_distributed_sampler and self.strategy.shards_samples
        return Shard(rank=self.global_rank, count=self.world_size, splits=splits)

    def stream_of(self, seed: int) -> int:
        """The seed of this process's own random numbers; the first one's are those of one alone."""
        return mix(seed, self.global_rank) if self.global_rank else seed
