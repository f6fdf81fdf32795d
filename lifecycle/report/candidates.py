"""What a benchmark compares: files of bundles, each with a number of threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import UsageError
from lifecycle.core.signature import Signature
from lifecycle.export.batches import batch_axis
from lifecycle.export.formats import Format, formats


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure.

    Attributes:
        threads: Numbers of threads, each tried with every file.
        calls: How often each is timed.
        batch: Samples in a timed call.
        wide_batch: Samples in a call of the throughput's measurement.
        max_drop: How much worse than the first candidate's quality a file may be and still keep it.
        mode: Whether a greater quality is better, ``max``, or a smaller one, ``min``.
    """

    threads: tuple[int, ...] = (1,)
    calls: int = 200
    batch: int = 1
    wide_batch: int = 32
    max_drop: float = 0.01
    mode: str = "max"

    def __post_init__(self) -> None:
        least = (("batch", self.batch, 1), ("wide_batch", self.wide_batch, 1), ("calls", self.calls, 2))
        for name, value, lowest in least:
            if value < lowest:
                raise UsageError(f"{name} is {value}; expected at least {lowest}")
        if self.max_drop < 0:
            raise UsageError(f"max_drop is {self.max_drop:g}; expected 0 or more")
        if not self.threads or min(self.threads) < 1:
            raise UsageError(f"threads is {list(self.threads)}; expected numbers of at least 1")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One file with one number of threads.

    Attributes:
        name: The bundle's and the format's.
        artifact: The bundle.
        format: The file's.
        threads: How many one call may use.
    """

    name: str
    artifact: Artifact
    format: Format
    threads: int

    @property
    def key(self) -> str:
        """Tells it from the others."""
        return f"{self.name}, {self.threads} thread{'s' if self.threads > 1 else ''}"

    @property
    def precision(self) -> str:
        """``float32`` or ``int8``, as the bundle's proof says."""
        return str(self.artifact.read_json("parity.json").get("precision", ""))

    @property
    def file(self) -> Path:
        """Where it lies."""
        return self.artifact.file(self.format.filename)

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return Signature.from_json(self.artifact.read_json("signature.json"))

    def samples(self, wanted: int) -> int:
        """As many samples as are wanted, or as the file takes."""
        signature = self.signature
        axis = batch_axis(signature)
        if axis is None:
            return int(signature.inputs[0].shape[0]) if signature.inputs[0].shape else 1
        low, high = signature.axes.get(axis, (1, wanted))
        return min(max(low, wanted), high)


def candidates(
    bundles: Mapping[str, Artifact], names: Sequence[str], threads: Sequence[int]
) -> list[Candidate]:
    """Every file of the bundles, with every number of threads.

    Args:
        bundles: By the name to show.
        names: Only these formats; all where none is named.
        threads: Numbers of threads.

    Raises:
        UsageError: an artifact is no bundle, or none of its files is of a format that was named.
    """
    found = []
    for (name, artifact), format, count in product(bundles.items(), formats(), threads):
        if artifact.kind != "bundle":
            raise UsageError(f"{artifact.path} holds a {artifact.kind}; only a bundle can be run")
        wanted = not names or format.name in names
        if wanted and (artifact.path / format.filename).is_file():
            label = f"{name} {format.name}"
            found.append(Candidate(name=label, artifact=artifact, format=format, threads=count))
    if not found:
        raise UsageError(f"no bundle has a file of: {', '.join(names) or 'any format'}")
    return found
