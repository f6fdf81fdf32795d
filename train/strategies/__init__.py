"""How a module is spread over devices: today it is on one."""

from lifecycle.train.strategies.single import SingleDeviceStrategy

__all__ = ["SingleDeviceStrategy"]
