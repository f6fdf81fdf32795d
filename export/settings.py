"""How files are written and run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from lifecycle.core.cores import available_cores
from lifecycle.core.errors import UsageError, suggest

OPSET = 21  # ONNX Runtime reads it from 1.18 on
OPSETS = (18, 23)  # what PyTorch's exporter writes, and ONNX Runtime 1.24 reads
Optimization = Literal["none", "basic", "extended", "layout", "all"]
CPU = "CPUExecutionProvider"


@dataclass(frozen=True, kw_only=True)
class WriteSettings:
    """Choices of conversion.

    Attributes:
        opset: Version of ONNX's operator set.
        external_bytes: Above so many bytes of weights an ONNX file keeps them in a file beside it; protobuf
            ends at 2 GB.
    """

    opset: int = OPSET
    external_bytes: int = 2**31 - 2**20

    def __post_init__(self) -> None:
        low, high = OPSETS
        if not low <= self.opset <= high:
            raise UsageError(f"opset is {self.opset}; allowed: {low} to {high}, and {OPSET} is the default")


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Choices of the runtime.

    Attributes:
        threads: How many threads one call may use; None for as many as this process may really use.
        arena: Let ONNX Runtime keep the memory of a call for the next one: faster, and never given back.
        optimization: How far ONNX Runtime rewrites the graph.
        providers: ONNX Runtime's execution providers, in order of preference; those that are not installed
            are passed over.
        custom_domains: Domains of operators outside ONNX that a file may use.
    """

    threads: int | None = 1
    arena: bool = True
    optimization: Optimization = "all"
    providers: tuple[str, ...] = (CPU,)
    custom_domains: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads must be 1 or more, got {self.threads}")
        if self.optimization not in get_args(Optimization):
            allowed = suggest(self.optimization, get_args(Optimization))
            raise UsageError(f"no optimization is called '{self.optimization}': {allowed}")
        if not self.providers:
            raise UsageError(f"providers names none; {CPU} is always there")

    @property
    def num_threads(self) -> int:
        """`threads`, or the cores of this process's affinity and cgroup."""
        return available_cores() if self.threads is None else self.threads
