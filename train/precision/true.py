"""The same type throughout: weights, batches and whatever a step makes."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from lifecycle.train.nested import map_tensors
from lifecycle.train.precision.base import Precision, one_of

TRUE = {"16-true": torch.float16, "bf16-true": torch.bfloat16, "64-true": torch.float64}


class TruePrecision(Precision):
    """Weights, batches and new tensors all in one type: ``16-true``, ``bf16-true`` or ``64-true``."""

    plain = False

    def __init__(self, precision: str) -> None:
        self.name = one_of(precision, TRUE)
        self.dtype = TRUE[precision]

    def convert_module(self, module: nn.Module) -> None:
        """Change the types of floating parameters and buffers; optimizers made before stay valid."""
        # Not `module.to(dtype)`, which takes the imaginary part from complex parameters.
        convert = {"16-true": module.half, "bf16-true": module.bfloat16, "64-true": module.double}
        convert[self.name]()

    def convert_batch(self, batch: object) -> object:
        """The batch with its floating tensors in this type; integers and booleans stay."""
        return map_tensors(batch, self._converted)

    def init_context(self) -> AbstractContextManager[object]:
        """Makes new tensors in this type."""
        return _DefaultType(self.dtype)

    def context(self) -> AbstractContextManager[object]:
        """Makes new tensors in this type."""
        return _DefaultType(self.dtype)

    def _converted(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor


class DoublePrecision(TruePrecision):
    """Sixty-four bits throughout."""

    def __init__(self) -> None:
        super().__init__("64-true")


class HalfPrecision(TruePrecision):
    """Sixteen bits throughout: weights, gradients and the optimizer's averages take half the memory."""

    def __init__(self, precision: str = "16-true") -> None:
        super().__init__(one_of(precision, ("16-true", "bf16-true")))


class _DefaultType:
    """The type of new floating tensors, for a while."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def __enter__(self) -> None:
        self._before = torch.get_default_dtype()
        torch.set_default_dtype(self._dtype)

    def __exit__(self, *_: object) -> None:
        torch.set_default_dtype(self._before)
