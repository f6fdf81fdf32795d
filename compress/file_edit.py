"""Quantization of the exported file: recorded with the checkpoint, done by export after conversion.

Dynamic quantization finds an activation's range at every call: there is nothing to round in a module. And a
module whose forward has no graph for training can still be exported; its file is quantized statically, with
the ranges recorded here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from lifecycle.compress.histogram import Histogram
from lifecycle.compress.kept import kept_modules
from lifecycle.compress.processor import Integers
from lifecycle.compress.ranges import RangeOf
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError
from lifecycle.core.signature import Array

KIND = "quantize_file"
QUANTIZATIONS = ("quantize", KIND)


@dataclass(frozen=True, kw_only=True)
class FileEdit:
    """What is to be done to the file.

    Attributes:
        method: ``dynamic``, or ``static`` with ranges.
        integers: What is computed with; dynamic activations are uint8 always.
        keep_float: Names of modules whose layers stay in float.
        ranges: Of every activation by its name in the file, for ``static``.
        reason: Why it is done to the file and not to the module; empty where there is no other way.
    """

    method: Literal["dynamic", "static"]
    integers: Integers = field(default_factory=Integers)
    keep_float: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    reason: str = ""

    def to_json(self) -> dict[str, JSON]:
        """The recipe's record."""
        return {
            "edit": KIND,
            "method": self.method,
            **self.integers.to_json(),
            "keep_float": list(self.keep_float),
            "ranges": {name: list(ends) for name, ends in sorted(self.ranges.items())},
            "reason": self.reason,
        }


class FileCalibration:
    """Gathers what activations of a file are, in bounded memory."""

    def __init__(self) -> None:
        self._seen: dict[str, Histogram] = {}
        self._count = 0

    def add(self, activations: Mapping[str, Array]) -> None:
        """Count the activations of one batch, by their names in the file.

        Raises:
            UsageError: a value is not finite.
        """
        self._count += 1
        for name, values in activations.items():
            try:
                self._seen.setdefault(name, Histogram()).add(torch.from_numpy(values.copy()))
            except ValueError as error:
                raise UsageError(
                    f"calibration batch {self._count} cannot be used: in '{name}' {error}",
                    hint="Give batches as forward takes them, of finite values.",
                ) from error

    def ranges(self, range_of: RangeOf) -> dict[str, tuple[float, float]]:
        """The range of every activation, by name."""
        return {name: range_of(histogram) for name, histogram in self._seen.items()}


def layers_kept(module: nn.Module, patterns: Sequence[str]) -> tuple[str, ...]:
    """Names of the layers with weights that patterns keep in float.

    Raises:
        UsageError: a pattern matches no module.
    """
    kept = kept_modules(module, patterns)
    named = dict(module.named_modules())
    return tuple(sorted(name for name in kept if list(named[name].parameters(recurse=False))))


def replay_file_edit(module: nn.Module, example: tuple[Tensor, ...], edit: Mapping[str, JSON]) -> None:
    """Nothing: the module stays as it is, export reads the record."""


def file_edits(edits: Sequence[Mapping[str, JSON]]) -> list[Mapping[str, JSON]]:
    """Those of a recipe that are done to the file.

    Raises:
        UsageError: one of the module comes after them: ranges and sizes would not be those of the file.
    """
    kinds = [edit["edit"] for edit in edits]
    first = kinds.index(KIND) if KIND in kinds else len(kinds)
    later = [str(kind) for kind in kinds[first:] if kind != KIND]
    if later:
        raise UsageError(
            f"the recipe has '{later[0]}' after the quantization of the file, which comes last",
            hint="prune first, then quantize",
        )
    return list(edits[first:])


def check_unquantized(edits: Sequence[Mapping[str, JSON]]) -> None:
    """Raise `UsageError` where a recipe holds a quantization already."""
    for edit in edits:
        if edit["edit"] in QUANTIZATIONS:
            raise UsageError(
                f"the checkpoint is quantized already ({edit['method']})",
                hint="Quantize the checkpoint that it was made from.",
            )
