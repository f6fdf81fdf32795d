"""The strategy that ``Trainer(strategy=…, devices=…, num_nodes=…)`` means."""

from __future__ import annotations

import logging
from typing import Any, cast

import torch

from lifecycle.core import plugins
from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.accelerators import Accelerator
from lifecycle.train.device_indices import Devices
from lifecycle.train.precision import Precision
from lifecycle.train.strategies.base import Strategy
from lifecycle.train.strategies.parallel import ParallelStrategy
from lifecycle.train.strategies.single import SingleDeviceStrategy
from lifecycle.train.strategies.world import World, world_of

log = logging.getLogger(__name__)
# Lightning's further names, and one of ours: of a strategy, with options that are in the name.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddp_find_unused_parameters_false": ("ddp", {"find_unused_parameters": False}),
    "ddp_find_unused_parameters_true": ("ddp", {"find_unused_parameters": True}),
    "ddp_fork": ("ddp", {"start_method": "fork"}),
    "ddp_notebook": ("ddp", {"start_method": "fork"}),
    "ddp_spawn": ("ddp", {"start_method": "spawn"}),
    "fsdp_cpu_offload": ("fsdp", {"cpu_offload": True}),
    "fsdp_sharded": ("fsdp", {"state_dict_type": "sharded"}),  # ours: a pipeline file names strategies
}


def strategy_of(
    kind: Accelerator, devices: object = "auto", strategy: object = "auto", num_nodes: int = 1
) -> Strategy:
    """The strategy, on the devices of this process.

    Args:
        kind: Of devices.
        devices: ``auto``, how many, or which; -1 for all.
        strategy: ``auto``, another name in the table ``strategies``, or a `Strategy`.
        num_nodes: Machines.

    Raises:
        UsageError: there is no such strategy, not so many devices, or they do not go together.
    """
    if type(num_nodes) is not int or num_nodes < 1:
        raise UsageError(f"Trainer(num_nodes={num_nodes!r}): expected a whole number of at least 1")
    world = world_of()
    if world is not None and world.size == 1:
        world = None
    if isinstance(strategy, SingleDeviceStrategy):
        return _on_its_device(strategy, kind)
    found = _devices(kind, devices, world)
    chosen = _chosen(strategy, several=len(found) > 1 or world is not None or num_nodes > 1)
    if isinstance(chosen, ParallelStrategy) or world is None:
        _check(chosen, found, devices, world, num_nodes)
    elif devices == "auto":
        found = found[world.local_rank :][:1] or found[:1]  # each process by itself
    chosen.place(found, world, num_nodes=num_nodes)
    return chosen


def _on_its_device(strategy: SingleDeviceStrategy, kind: Accelerator) -> Strategy:
    device = strategy.root_device
    if kind.name() in ("cpu", "cuda", "mps") and kind.name() != device.type:
        raise UsageError(
            f"strategy=SingleDeviceStrategy('{device}') does not go with accelerator={kind.name()!r}",
            hint="Name the same kind of device in both.",
        )
    return strategy


def _devices(kind: Accelerator, devices: object, world: World | None) -> list[torch.device]:
    """The devices of this machine that are meant: one for each process."""
    if devices == "auto":
        if world is not None:
            devices = world.local_size
        else:
            if kind.auto_device_count() > 1:
                log.info(
                    "of %d devices the first is used; devices=-1 trains on all", kind.auto_device_count()
                )
            devices = 1
    return kind.get_parallel_devices(kind.parse_devices(cast("Devices", devices)))


def _chosen(strategy: object, *, several: bool) -> Strategy:
    if isinstance(strategy, Strategy):
        return strategy
    known = plugins.table("strategies")
    if not isinstance(strategy, str):
        raise UsageError(
            f"strategy={type(strategy).__name__}(…) is no lifecycle.strategies.Strategy",
            hint=f"Pass one, or a name: {', '.join(sorted(known))}.",
        )
    name = strategy.lower()
    if name == "auto":
        name = "ddp" if several else "single_device"
    name, options = VARIANTS.get(name, (name, {}))
    if name not in known:
        raise UsageError(f"strategy={strategy!r}: {suggest(name, ['auto', *known, *VARIANTS])}")
    made = cast("type[Strategy]", plugins.load("strategies", name))(**options)
    return made


def _check(
    chosen: Strategy, found: list[torch.device], devices: object, world: World | None, num_nodes: int
) -> None:
    """Raise `UsageError` if what is asked for is not what is there."""
    if world is not None:
        if len(found) != world.local_size:
            raise UsageError(
                f"{world.started_by} started {world.local_size} processes on this machine, "
                f"and Trainer(devices={devices!r}) asks for {len(found)}",
                hint="Leave devices out: there is one for each process.",
            )
        if num_nodes not in (1, world.nodes):
            raise UsageError(
                f"{world.started_by} started processes on {world.nodes} machines, "
                f"and Trainer(num_nodes={num_nodes}) asks for {num_nodes}",
                hint="Leave num_nodes out.",
            )
    elif isinstance(chosen, SingleDeviceStrategy) and (len(found) > 1 or num_nodes > 1):
        raise UsageError(
            f"strategy='single_device' trains on one device, and devices={devices!r}, num_nodes={num_nodes} "
            f"asks for {len(found) * num_nodes}",
            hint="Pass strategy='ddp', or devices=1.",
        )


def check_goes_together(strategy: Strategy, precision: Precision) -> None:
    """Raise `UsageError` if losses are scaled whose gradients lie in several processes."""
    if strategy.sharded and precision.scales:
        raise UsageError(
            f"precision='{precision.name}' scales losses, and strategy='{strategy.strategy_name}' cannot",
            hint="Pass precision='bf16-mixed'.",
        )
