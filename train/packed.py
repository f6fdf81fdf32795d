"""Values that only unpickling could bring back are kept in a checkpoint as plain ones.

Arrays of NumPy are kept as tensors, and paths as text, under a tag by which they are told when they are read;
numbers of NumPy become Python's. Whatever else is not plain stays, for the writer to refuse.
"""

from __future__ import annotations

from pathlib import Path, PurePath

import numpy as np
import torch
from torch import Tensor

_ARRAY, _PATH = "lifecycle.ndarray", "lifecycle.path"


def packed(value: object) -> object:
    """A single value as it is kept.

    >>> packed(np.float64(0.5))
    0.5
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, PurePath):
        return {_PATH: str(value)}
    if type(value) is np.ndarray:
        try:
            # A copy: of any strides, and writable; the axes of an array without any are none again.
            return {_ARRAY: torch.from_numpy(np.array(value, order="C"))}
        except TypeError:  # an array of objects, say
            return value
    return value


def unpacked(value: object) -> object:
    """A value that was read, with what was packed in it as it was; containers are changed in place.

    >>> unpacked({"mean": packed(np.array([1.0, 2.0]))})
    {'mean': array([1., 2.])}
    """
    if isinstance(value, dict):
        if len(value) == 1:
            if isinstance(kept := value.get(_ARRAY), Tensor):
                return kept.numpy()
            if isinstance(kept := value.get(_PATH), str):
                return Path(kept)
        for key, item in value.items():
            value[key] = unpacked(item)
    elif isinstance(value, list):
        value[:] = [unpacked(item) for item in value]
    elif type(value) is tuple:
        return tuple(unpacked(item) for item in value)
    return value
