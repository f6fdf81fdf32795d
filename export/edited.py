"""Files that are changed once they are proven: done, compared again, refused where a format cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lifecycle.core.canonical import JSON
from lifecycle.core.errors import RefusedError
from lifecycle.export.comparison import Comparison
from lifecycle.export.formats import Format
from lifecycle.export.parity import Reference
from lifecycle.export.quantize_file import quantize_file
from lifecycle.export.runtime import open_file
from lifecycle.export.tolerance import Tolerance

EDITABLE = frozenset({"onnx"})
COARSE = Tolerance(max_error=0.5, mean_error=0.05, tie=0.5, flips=0.25)
"""A file whose floats were quantized after conversion, beside the module in float: this is what eight bits
cost. It tells a broken file from a coarse one; how coarse it may be, the budget says."""

Edits = Sequence[Mapping[str, JSON]]


def check_edits(formats: Sequence[Format], edits: Edits) -> None:
    """Raise `RefusedError` where a format cannot carry what compression recorded for the file."""
    lacking = [format.name for format in formats if format.name not in EDITABLE]
    if edits and lacking:
        raise RefusedError(
            f"{lacking[0]} cannot carry the {edits[0]['method']} quantization that is recorded for the file",
            hint=f"Leave {lacking[0]} out of export.formats, or quantize the module: method: static or qat.",
        )


def edit_proven(
    answers: Reference,
    format: Format,
    path: Path,
    edits: Edits,
    report: Callable[[Comparison], None] = lambda comparison: None,
) -> list[Comparison]:
    """Do to a proven file what compression recorded, in place, and compare it in each way that it can be run.

    Args:
        answers: What is right.
        format: Of the file.
        path: The file.
        edits: What compression recorded; none leaves the file as it is.
        report: Called with every comparison, before the file is refused.

    Raises:
        RefusedError: it is not what the module computes, not even coarsely.
    """
    if not edits:
        return []
    quantize_file(path, edits)
    found = []
    for run, as_written in (("quantized, as written", True), ("quantized, as run", False)):
        model = open_file(path, answers.signature, format.name, as_written=as_written)
        comparison = answers.compare(model, COARSE, run=run)
        report(comparison)
        if not comparison.holds:
            raise RefusedError(
                comparison.refusal(),
                hint="Nothing was kept. Name layers that hurt in quantize.keep_float, or use method: qat.",
            )
        found.append(comparison)
    return found
