"""Which integers this machine multiplies fastest in ONNX Runtime, and without overflow."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError, suggest

Activations = Literal["auto", "uint8", "int8"]
VNNI = frozenset({"avx512_vnni", "avx_vnni"})
X86 = frozenset({"x86_64", "amd64", "i386", "i686"})


@dataclass(frozen=True, kw_only=True)
class Integers:
    """The integers that a network computes with.

    Attributes:
        activations: ``uint8`` or ``int8``.
        weight_bits: 8, or 7 where sums of two products of full size would overflow.
    """

    activations: Literal["uint8", "int8"] = "uint8"
    weight_bits: Literal[7, 8] = 8

    @property
    def weight_limit(self) -> int:
        """The greatest weight; the least is its negative."""
        return (1 << (self.weight_bits - 1)) - 1

    def to_json(self) -> dict[str, JSON]:
        """The recipe's record."""
        return {"activations": self.activations, "weight_bits": self.weight_bits}

    @classmethod
    def from_json(cls, record: Mapping[str, JSON]) -> Integers:
        """Read back from a recipe; one that does not say is of a time when there was one choice."""
        return cls(
            activations=cast("Literal['uint8', 'int8']", record.get("activations", "uint8")),
            weight_bits=cast("Literal[7, 8]", record.get("weight_bits", 8)),
        )


def integers_for(
    activations: Activations = "auto", processor: tuple[str, frozenset[str]] | None = None
) -> Integers:
    """The integers to quantize to.

    x86 multiplies unsigned by signed bytes: int8 activations gain nothing there. Without VNNI it adds two
    such products in 16 bits, which weights of 7 bits never overflow (``reduce_range`` in ONNX Runtime's
    quantization guide, https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
    Elsewhere (ARM) signed by signed is as fast, and its zero point of weights and activations is cheaper.

    Args:
        activations: ``auto`` goes by the processor.
        processor: Architecture and flags; this machine's by default.

    Raises:
        UsageError: there are no such activations.

    >>> integers_for("auto", ("x86_64", frozenset({"avx2"})))
    Integers(activations='uint8', weight_bits=7)
    """
    if activations not in ("auto", "uint8", "int8"):
        allowed = suggest(activations, ("auto", "uint8", "int8"))
        raise UsageError(f"activations is '{activations}': {allowed}")
    machine, flags = processor or this_processor()
    intel = machine.lower() in X86
    chosen: Literal["uint8", "int8"] = activations if activations != "auto" else "uint8" if intel else "int8"
    overflows = intel and chosen == "uint8" and not flags & VNNI
    return Integers(activations=chosen, weight_bits=7 if overflows else 8)


def this_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, frozenset[str]]:
    """Architecture and flags of this machine; no flags where the system does not tell them."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        lines = []
    flags = next((line.partition(":")[2] for line in lines if line.startswith(("flags", "Features"))), "")
    return platform.machine(), frozenset(flags.split())
