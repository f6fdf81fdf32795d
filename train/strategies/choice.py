"""The strategy that ``Trainer(strategy=…, devices=…, num_nodes=…)`` means."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Mapping
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
from lifecycle.train.strategies.world import World, alone_in_slurm, world_of

log = logging.getLogger(__name__)
# Lightning's further names: of a strategy, with options that are in the name.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddp_find_unused_parameters_false": ("ddp", {"find_unused_parameters": False}),
    "ddp_find_unused_parameters_true": ("ddp", {"find_unused_parameters": True}),
    "ddp_fork": ("ddp", {"start_method": "fork"}),
    "ddp_notebook": ("ddp", {"start_method": "fork"}),
    "ddp_spawn": ("ddp", {"start_method": "spawn"}),
    "fsdp_cpu_offload": ("fsdp", {"cpu_offload": True}),
}


def strategy_of(
    kind: Accelerator, devices: object = "auto", strategy: object = "auto", num_nodes: int = 1
) -> Strategy:
    """The strategy, on the devices of this process.

    Args:
        kind: Of devices.
        devices: ``auto``, how many, or which; -1 for all.
        strategy: ``auto``, another name in the table ``strategies``, a mapping of such a name and options, or
            a `Strategy`.
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
    if world is None and len(found) == 1 and (reason := alone_in_slurm()):
        warnings.warn(reason, stacklevel=2)
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
    if isinstance(strategy, Mapping):
        return strategy_with(strategy, several=several)
    if not isinstance(strategy, str):
        raise UsageError(
            f"strategy={type(strategy).__name__}(…) is no lifecycle.strategies.Strategy",
            hint=f"Pass one, or a name: {', '.join(sorted(plugins.table('strategies')))}.",
        )
    return _made(*_resolved(strategy, several=several))


def _resolved(name: str, *, several: bool) -> tuple[str, dict[str, Any]]:
    """What a name stands for: one of the table, and options."""
    known = plugins.table("strategies")
    found = name.lower()
    if found == "auto":
        found = "ddp" if several else "single_device"
    found, options = VARIANTS.get(found, (found, {}))
    if found not in known:
        raise UsageError(f"strategy={name!r}: {suggest(found, ['auto', *known, *VARIANTS])}")
    return found, options


def strategy_with(given: Mapping[str, object], *, several: bool = True) -> Strategy:
    """The strategy that a mapping of its name and options means, as it stands in a pipeline file.

    Raises:
        UsageError: it has no name, there is no such strategy, or it has no such option.
    """
    name, options = given.get("name"), {key: value for key, value in given.items() if key != "name"}
    if not isinstance(name, str):
        raise UsageError(
            f"strategy={dict(given)!r} has no name: {suggest('', plugins.table('strategies'))}",
            hint="Write {name: fsdp, auto_wrap_policy: 100000}, say.",
        )
    found, in_name = _resolved(name, several=several)
    known = strategy_options(load_strategy(found))
    for option in options:
        if option not in known:
            raise UsageError(f"strategy '{name}' has no option '{option}': {suggest(option, known)}")
    return _made(found, {**in_name, **options})


def strategy_options(cls: type[Strategy]) -> list[str]:
    """What the ``__init__`` of a strategy takes by name, that of its parents included where it passes on."""
    found: list[str] = []
    for kind in cls.__mro__:
        if "__init__" not in vars(kind):
            continue
        parameters = inspect.signature(vars(kind)["__init__"]).parameters.values()
        found += [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    return [name for name in dict.fromkeys(found) if name != "self"]


def load_strategy(name: str) -> type[Strategy]:
    """The class of a strategy, built in or of another distribution.

    Raises:
        UsageError: there is none of that name, or it is none.
    """
    found = plugins.load("strategies", name)
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise UsageError(f"the strategy '{name}' is {found!r}, no class of lifecycle.strategies.Strategy")
    return found


def _made(name: str, options: Mapping[str, Any]) -> Strategy:
    return load_strategy(name)(**options)


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


def check_goes_together(strategy: Strategy, precision: Precision, *, channels_last: bool = False) -> None:
    """Raise `UsageError` if what is asked for cannot be done where each process has a part of parameters."""
    if strategy.sharded and precision.scales:
        raise UsageError(
            f"precision='{precision.name}' scales losses, and strategy='{strategy.strategy_name}' cannot",
            hint="Pass precision='bf16-mixed'.",
        )
    if strategy.sharded and channels_last:
        raise UsageError(
            f"Trainer(channels_last=True): strategy='{strategy.strategy_name}' divides parameters, which "
            "must then lie in their usual order",
            hint="Leave channels_last out, or pass strategy='ddp'.",
        )
