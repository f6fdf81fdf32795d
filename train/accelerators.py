"""Where a module computes: kinds of devices, and the one that ``Trainer(accelerator=…, devices=…)`` means."""

from __future__ import annotations

import logging

import torch

from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.device_indices import Devices, indices_of, read_devices
from lifecycle.train.load import Load
from lifecycle.train.strategies import SingleDeviceStrategy

_ONE = "this version trains on one device"
_SEVERAL = ("ddp", "fsdp", "deepspeed", "xla", "single_xla", "single_tpu", "model_parallel")  # and variants
log = logging.getLogger(__name__)


class Accelerator:
    """A kind of device. A subclass of your own may be passed as ``Trainer(accelerator=…)``."""

    def setup_device(self, device: torch.device) -> None:
        """Prepare the device that was chosen."""

    def setup(self, trainer: object) -> None:
        """Called before a verb of the trainer runs."""

    def teardown(self) -> None:
        """Called when it has run."""

    def get_device_stats(self, device: torch.device | str | int) -> dict[str, float]:
        """What the device is doing, by name."""
        raise NotImplementedError

    @staticmethod
    def parse_devices(devices: Devices) -> Devices:
        """What `get_parallel_devices` takes.

        Raises:
            UsageError: the machine has no such devices.
        """
        raise NotImplementedError

    @staticmethod
    def get_parallel_devices(devices: Devices) -> list[torch.device]:
        """The devices that `parse_devices` stands for."""
        raise NotImplementedError

    @staticmethod
    def auto_device_count() -> int:
        """How many there are."""
        raise NotImplementedError

    @staticmethod
    def is_available() -> bool:
        """Whether there are any."""
        raise NotImplementedError

    @staticmethod
    def name() -> str:
        """As ``Trainer(accelerator=…)`` spells it."""
        raise NotImplementedError


class CPUAccelerator(Accelerator):
    """The processor, all of its cores together."""

    def __init__(self) -> None:
        self._load = Load()

    def get_device_stats(self, device: torch.device | str | int) -> dict[str, float]:
        """Percentages of memory, processor time since the last call, and swap space in use."""
        load = self._load.read()
        return {
            "cpu_vm_percent": load.memory,
            "cpu_percent": load.processor,
            "cpu_swap_percent": load.swap,
        }

    @staticmethod
    def parse_devices(devices: Devices) -> int:
        """A number of processes; an index can only be 0."""
        found = read_devices(devices)
        return found if isinstance(found, int) and found > 0 else len(indices_of(devices, 1, "CPU"))

    @staticmethod
    def get_parallel_devices(devices: Devices) -> list[torch.device]:
        """The processor, once for each process."""
        return [torch.device("cpu")] * CPUAccelerator.parse_devices(devices)

    @staticmethod
    def auto_device_count() -> int:
        """One."""
        return 1

    @staticmethod
    def is_available() -> bool:
        """Always."""
        return True

    @staticmethod
    def name() -> str:
        """``cpu``."""
        return "cpu"


class CUDAAccelerator(Accelerator):
    """Nvidia's GPUs, and AMD's where torch is built for ROCm."""

    def setup_device(self, device: torch.device) -> None:
        """Make it the one that a bare ``cuda`` means."""
        torch.cuda.set_device(device)

    def teardown(self) -> None:
        """Give memory that is kept for later back to the GPU."""
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()

    def get_device_stats(self, device: torch.device | str | int) -> dict[str, float]:
        """Memory on the GPU as torch accounts for it, in bytes and counts."""
        return dict(torch.cuda.memory_stats(device))

    @staticmethod
    def parse_devices(devices: Devices) -> list[int]:
        """Indices of GPUs."""
        return indices_of(devices, torch.cuda.device_count(), "GPU")

    @staticmethod
    def get_parallel_devices(devices: Devices) -> list[torch.device]:
        """The GPUs of these indices."""
        return [torch.device("cuda", index) for index in CUDAAccelerator.parse_devices(devices)]

    @staticmethod
    def auto_device_count() -> int:
        """GPUs that torch sees."""
        return torch.cuda.device_count()

    @staticmethod
    def is_available() -> bool:
        """Whether torch sees a GPU; does not touch it, so that processes may still be forked."""
        return torch.cuda.device_count() > 0

    @staticmethod
    def name() -> str:
        """``cuda``."""
        return "cuda"


class MPSAccelerator(Accelerator):
    """The GPU of Apple's own processors."""

    def __init__(self) -> None:
        self._load = Load()

    def get_device_stats(self, device: torch.device | str | int) -> dict[str, float]:
        """Of the whole machine, as its processors share the memory; in percent."""
        load = self._load.read()
        return {
            "M1_vm_percent": load.memory,
            "M1_percent": load.processor,
            "M1_swap_percent": load.swap,
        }

    @staticmethod
    def parse_devices(devices: Devices) -> list[int]:
        """Indices, of which there is one."""
        return indices_of(devices, 1, "GPU")

    @staticmethod
    def get_parallel_devices(devices: Devices) -> list[torch.device]:
        """The GPU."""
        return [torch.device("mps", index) for index in MPSAccelerator.parse_devices(devices)]

    @staticmethod
    def auto_device_count() -> int:
        """One."""
        return 1

    @staticmethod
    def is_available() -> bool:
        """Whether torch can use it."""
        return torch.backends.mps.is_available()

    @staticmethod
    def name() -> str:
        """``mps``."""
        return "mps"


# The first that is there is what "auto" means; "gpu" means the first but for the last.
_KINDS: tuple[type[Accelerator], ...] = (CUDAAccelerator, MPSAccelerator, CPUAccelerator)


def accelerator_of(accelerator: object = "auto") -> Accelerator:
    """The kind of device that ``Trainer(accelerator=…)`` asks for.

    Raises:
        UsageError: there is no such kind, or none of it here.
    """
    if isinstance(accelerator, Accelerator):
        kinds: tuple[type[Accelerator], ...] = (type(accelerator),)
    elif accelerator == "auto":
        kinds = _KINDS
    elif accelerator == "gpu":
        kinds = _KINDS[:-1]
    else:
        kinds = tuple(kind for kind in _KINDS if kind.name() == accelerator)
        if not kinds:
            allowed = ["auto", "gpu", *(kind.name() for kind in _KINDS)]
            raise UsageError(f"accelerator={accelerator!r}: {suggest(str(accelerator), allowed)}")
    for kind in kinds:
        if kind.is_available():
            return accelerator if isinstance(accelerator, Accelerator) else kind()
    present = ", ".join(kind.name() for kind in _KINDS if kind.is_available())
    shown = repr(accelerator) if isinstance(accelerator, str) else f"{type(accelerator).__name__}()"
    raise UsageError(
        f"accelerator={shown}: torch {torch.__version__} finds none here; it finds: {present}",
        hint="Pass accelerator='auto' to take the fastest of what is there."
        + ("" if torch.version.cuda or torch.version.hip else " This torch is built without CUDA."),
    )


def device_of(
    accelerator: object = "auto", devices: object = "auto", strategy: object = "auto", num_nodes: int = 1
) -> torch.device:
    """The one device that the trainer's arguments of these names mean.

    Args:
        accelerator: ``auto``, ``cpu``, ``gpu``, ``cuda``, ``mps``, or an `Accelerator`.
        devices: ``auto``, 1, or an index in a list, as in ``[2]`` or ``"2,"``; -1 for all where that is one.
        strategy: ``auto``, ``single_device``, or a `SingleDeviceStrategy` that names the device.
        num_nodes: 1.

    Raises:
        UsageError: more than one device is asked for, or one that is not there.
    """
    _check_strategy(strategy)
    if num_nodes != 1:
        raise UsageError(f"{_ONE}, and num_nodes={num_nodes!r} is not one machine", hint="Pass num_nodes=1.")
    kind = accelerator_of(accelerator)
    if isinstance(strategy, SingleDeviceStrategy):
        device = strategy.root_device
        if kind.name() in ("cpu", "cuda", "mps") and kind.name() != device.type:
            raise UsageError(
                f"strategy=SingleDeviceStrategy('{device}') does not go with accelerator={accelerator!r}",
                hint="Name the same kind of device in both.",
            )
        return device
    if devices == "auto":
        if kind.auto_device_count() > 1:
            log.info("of %d devices the first is used: %s", kind.auto_device_count(), _ONE)
        devices = 1
    found = kind.get_parallel_devices(kind.parse_devices(devices))  # type: ignore[arg-type]
    if len(found) != 1:
        hint = "Pass devices=1, or one index in a list: devices=[0]."
        if kind.name() == "cpu":
            hint = "Pass devices=1: torch computes on all cores; torch.set_num_threads says on how many."
        raise UsageError(f"{_ONE}, and devices={devices!r} asks for {len(found)}", hint=hint)
    return found[0]


def _check_strategy(strategy: object) -> None:
    name = strategy.lower() if isinstance(strategy, str) else None
    if name in ("auto", "single_device") or isinstance(strategy, SingleDeviceStrategy):
        return
    if name is None or name.startswith(_SEVERAL):
        shown = repr(strategy) if name else f"{type(strategy).__name__}(…)"
        raise UsageError(f"{_ONE}, and strategy={shown} is for several", hint="Pass strategy='auto'.")
    raise UsageError(f"strategy={strategy!r}: {suggest(name, ['auto', 'single_device'])}")
