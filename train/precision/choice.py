"""Which precision is meant."""

from __future__ import annotations

import warnings

import torch

from lifecycle.core import plugins
from lifecycle.core.errors import UsageError
from lifecycle.train.precision.base import Precision, one_of
from lifecycle.train.precision.mixed import MIXED, MixedPrecision
from lifecycle.train.precision.true import TRUE, DoublePrecision, HalfPrecision

# As Lightning reads them: a bare 16 means mixed precision, a bare 64 means doubles throughout.
_SHORT = {"32": "32-true", "64": "64-true", "16": "16-mixed", "bf16": "bf16-mixed"}
_NAMES = ("32-true", *TRUE, *MIXED, *_SHORT)
_FOREIGN = {
    "transformer-engine": "bf16-mixed",
    "transformer-engine-float16": "16-mixed",
    "bitsandbytes": "bf16-true",
}


def precision_of(value: object, device: torch.device) -> Precision:
    """What ``Trainer(precision=value)`` asks for on a device.

    Raises:
        UsageError: there is no such precision, or not here.
    """
    if isinstance(value, Precision):
        return value
    text = "32-true" if value is None else str(value)
    name = _SHORT.get(text, text)
    if name in _FOREIGN:
        raise UsageError(f"precision={value!r} is not offered; the closest is precision={_FOREIGN[name]!r}")
    if isinstance(value, bool | float):
        text = ""
    if text not in _NAMES and text in plugins.table("precisions"):
        return load_precision(text)()
    one_of(text, tuple(dict.fromkeys((*_NAMES, *plugins.table("precisions")))), got=value)
    if name in MIXED:
        if name == "16-mixed" and device.type == "cpu":
            warnings.warn(
                "precision='16-mixed' computes in bfloat16 on a CPU, as 'bf16-mixed' does: "
                "float16 needs a GPU",
                stacklevel=2,
            )
            name = "bf16-mixed"
        return MixedPrecision(name, device.type)
    if name == "64-true" and device.type == "mps":
        raise UsageError("precision='64-true': Apple's GPUs have no doubles; use accelerator='cpu'")
    if name == "64-true":
        return DoublePrecision()
    return HalfPrecision(name) if name in TRUE else Precision()


def load_precision(name: str) -> type[Precision]:
    """The class of a precision, built in or of another distribution.

    Raises:
        UsageError: there is none of that name, or it is none.
    """
    found = plugins.load("precisions", name)
    if not (isinstance(found, type) and issubclass(found, Precision)):
        raise UsageError(f"the precision '{name}' is {found!r}, no class of lifecycle.plugins.Precision")
    return found
