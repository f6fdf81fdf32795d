"""How a module is spread over devices: a file for each way, and one that chooses."""

from lifecycle.train.strategies.base import Strategy
from lifecycle.train.strategies.ddp import DDPStrategy
from lifecycle.train.strategies.parallel import ParallelStrategy
from lifecycle.train.strategies.single import SingleDeviceStrategy
from lifecycle.train.strategies.world import World, world_of

__all__ = ["DDPStrategy", "ParallelStrategy", "SingleDeviceStrategy", "Strategy", "World", "world_of"]
