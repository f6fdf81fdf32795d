"""Where a module computes: kinds of devices, and the one that ``Trainer(accelerator=…)`` means."""

from __future__ import annotations

import os
from typing import ClassVar

import torch

from lifecycle.core import plugins
from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.device_indices import Devices, indices_of, read_devices
from lifecycle.train.load import Load

# What asks torch for a GPU, as modules do where they are imported, would load the driver, and no process that
# is forked from here could use one then: torch asks the management library instead.
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")


class Accelerator:
    """A kind of device. A subclass of your own may be passed as ``Trainer(accelerator=…)``.

    Attributes:
        install_hint: What to do where there is none, if it takes a package.
    """

    install_hint: ClassVar[str] = ""

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


# The first that is there is what "auto" means; "gpu" means the first of the first two.
_BUILT_IN = ("cuda", "mps", "cpu")


def kinds() -> dict[str, type[Accelerator]]:
    """Every kind of device by name: built-in ones, then those of entry points ``lifecycle.accelerators``."""
    names = dict.fromkeys((*_BUILT_IN, *plugins.table("accelerators")))
    return {name: load_accelerator(name) for name in names}


def load_accelerator(name: str) -> type[Accelerator]:
    """The class of an accelerator, built in or of another distribution.

    Raises:
        UsageError: there is none of that name, or it is none.
    """
    found = plugins.load("accelerators", name)
    if not (isinstance(found, type) and issubclass(found, Accelerator)):
        raise UsageError(
            f"the accelerator '{name}' is {found!r}, no class of lifecycle.accelerators.Accelerator"
        )
    return found


def accelerator_of(accelerator: object = "auto") -> Accelerator:
    """The kind of device that ``Trainer(accelerator=…)`` asks for.

    Raises:
        UsageError: there is no such kind, or none of it here.
    """
    if isinstance(accelerator, Accelerator):
        if type(accelerator).is_available():
            return accelerator
    elif accelerator in ("auto", "gpu"):
        for name in _BUILT_IN if accelerator == "auto" else _BUILT_IN[:2]:
            kind = kinds()[name]
            if kind.is_available():
                return kind()
    else:
        known = plugins.table("accelerators")
        if accelerator not in known:
            raise UsageError(
                f"accelerator={accelerator!r}: {suggest(str(accelerator), ['auto', 'gpu', *sorted(known)])}"
            )
        kind = load_accelerator(str(accelerator))
        if kind.is_available():
            return kind()
        if kind.install_hint:
            raise UsageError(f"accelerator={accelerator!r}: there is none here", hint=kind.install_hint)
    raise _none_here(accelerator)


def _none_here(accelerator: object) -> UsageError:
    present = ", ".join(name for name, kind in kinds().items() if kind.is_available())
    shown = repr(accelerator) if isinstance(accelerator, str) else f"{type(accelerator).__name__}()"
    return UsageError(
        f"accelerator={shown}: torch {torch.__version__} finds none here; it finds: {present}",
        hint="Pass accelerator='auto' to take the fastest of what is there."
        + ("" if torch.version.cuda or torch.version.hip else " This torch is built without CUDA."),
    )
