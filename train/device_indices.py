"""Reading ``Trainer(devices=…)``: a number of devices, or which ones."""

from __future__ import annotations

from collections.abc import Sequence

from lifecycle.core.errors import UsageError

Devices = int | str | Sequence[int]  # a number of them, their indices, or either as text


def read_devices(devices: Devices) -> int | list[int]:
    """A number of devices (-1 for all), or their indices.

    Raises:
        UsageError: it is neither.

    >>> read_devices("2"), read_devices("2,"), read_devices([0, 2])
    (2, [2], [0, 2])
    """
    if isinstance(devices, str):
        parts = [part.strip() for part in devices.split(",")]
        if all(part.lstrip("-").isdecimal() for part in parts if part) and any(parts):
            return int(devices) if len(parts) == 1 else [int(part) for part in parts if part]
    elif type(devices) is int:
        return devices
    elif isinstance(devices, list | tuple) and all(type(index) is int for index in devices):
        return list(devices)
    raise UsageError(
        f"devices={devices!r}: expected 'auto', a number of devices, or a list of their indices, such as [0]"
    )


def indices_of(devices: Devices, count: int, what: str) -> list[int]:
    """The indices that are meant where `count` devices are there.

    Raises:
        UsageError: they are none, or not all there.

    >>> indices_of(-1, 3, "GPU")
    [0, 1, 2]
    """
    found = read_devices(devices)
    if found in (0, []):
        raise UsageError(f"devices={devices!r} asks for no device", hint="Pass devices=1.")
    if isinstance(found, int) and found >= -1:
        found = list(range(count if found == -1 else found))
    if isinstance(found, int) or not set(found) <= set(range(count)) or len(set(found)) != len(found):
        there = (
            f"there is one {what}, of index 0"
            if count == 1
            else f"there are {count} {what}s, 0 to {count - 1}"
        )
        raise UsageError(f"devices={devices!r}: {there}", hint="Pass devices=1, or one of these in a list.")
    return found
