"""Export: a checkpoint in, files proven equal to it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from lifecycle.core.artifact import Artifact
from lifecycle.core.canonical import JSON, readable_json, write_whole
from lifecycle.core.errors import RefusedError
from lifecycle.core.progress import busy
from lifecycle.core.signature import Signature
from lifecycle.core.stage import Context, Stage, scratch
from lifecycle.core.within import Named, Within, check_limits
from lifecycle.export.formats import load_format
from lifecycle.export.settings import OPSET, OPSETS, WriteSettings
from lifecycle.stages.facts import facts_of

if TYPE_CHECKING:
    from lifecycle.export.comparison import Comparison
    from lifecycle.train.module import Module

PROOF_BATCHES = 2
PROOF_SAMPLES = 64
TRAINING_BATCHES = 16
REFUSED = "parity.json"


@dataclass(frozen=True, kw_only=True)
class Export(Stage):
    """Write the module in every format that is asked for, and compare each file with it.

    Attributes:
        formats: Names of the table of formats; ``onnx`` is what evaluate and serve need.
        opset: Version of ONNX's operator set.
    """

    consumes: ClassVar[tuple[str, ...]] = ("checkpoint",)
    produces: ClassVar[str] = "bundle"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchao", "onnx", "onnxscript", "onnxruntime", "numpy")

    formats: Annotated[tuple[str, ...], Named("formats", "onnx", "what evaluate and serve run")] = ("onnx",)
    opset: Annotated[int, Within(least=OPSETS[0], most=OPSETS[1])] = OPSET

    def __post_init__(self) -> None:
        WriteSettings(opset=self.opset)  # says more than its limits
        check_limits(self)

    def run(self, given: Mapping[str, Artifact], into: Path, context: Context) -> Artifact:
        """Export, run every file back, refuse what differs."""
        return export_checkpoint(
            given["checkpoint"],
            into,
            context,
            self.formats,
            facts_of(self, context, {}, run=getattr(context.tracker, "run_id", None)),
            settings=WriteSettings(opset=self.opset),
        )


def export_checkpoint(
    checkpoint: Artifact,
    into: Path,
    context: Context,
    formats: tuple[str, ...],
    facts: Mapping[str, JSON],
    *,
    settings: WriteSettings | None = None,
) -> Artifact:
    """A bundle of a checkpoint, proven on validation samples, on random ones and at the edges.

    Raises:
        RefusedError: a file differs; the table of the comparison is shown and kept as JSON.
    """
    from lifecycle.compress.file_edit import file_edits
    from lifecycle.compress.quantizer import convert_quantized, is_quantized
    from lifecycle.export.bundle import write_bundle
    from lifecycle.export.integers import precision_of
    from lifecycle.stages.inputs import record_inputs, samples
    from lifecycle.train.artifact import open_checkpoint, read_recipe

    reference = open_checkpoint(checkpoint)
    signature = described(checkpoint, reference, context)
    inputs = record_inputs(reference, context, "val", batches=PROOF_BATCHES)
    context.progress.note(f"  converting to {', '.join(formats)} and comparing with the module")
    for format in map(load_format, formats):
        if format.notice:
            context.progress.note(f"  {format.name}: {format.notice}")
    module = convert_quantized(reference) if is_quantized(reference) else reference
    compared: list[Comparison] = []
    try:
        with busy(context.progress, f"{', '.join(formats)}"):
            return write_bundle(
                module,
                signature=signature,
                formats=formats,
                samples=samples(signature, inputs, PROOF_SAMPLES),
                into=into,
                reference=reference,
                precision=precision_of(module),
                file_edits=file_edits(read_recipe(checkpoint).edits),
                parent=checkpoint,
                facts=facts,
                settings=settings or WriteSettings(),
                report=compared.append,
            )
    except RefusedError as error:
        raise _explained(error, compared, scratch(into) / REFUSED, context) from error


def described(checkpoint: Artifact, module: Module, context: Context) -> Signature:
    """The checkpoint's signature, with statistics of the training data where it has none."""
    import random

    import numpy as np
    import torch

    from lifecycle.core.statistics import describe
    from lifecycle.stages.inputs import record_inputs, samples
    from lifecycle.train.isolation import isolate_rng

    signature = Signature.from_json(checkpoint.read_json("signature.json"))
    if signature.statistics:
        return signature
    with isolate_rng():
        random.seed(context.seed)  # a loader may shuffle, and a dataset may augment
        np.random.seed(context.seed % 2**32)
        torch.manual_seed(context.seed)
        recorded = record_inputs(module, context, "train", batches=TRAINING_BATCHES)
    arrays = samples(signature, recorded, None)
    return replace(signature, statistics={name: describe(array) for name, array in arrays.items()})


def _explained(
    error: RefusedError, compared: Sequence[Comparison], path: Path, context: Context
) -> RefusedError:
    """The refusal, with its table shown and all figures in a file outside the artifact that is not made."""
    from lifecycle.export.comparison import COLUMNS, summary

    for line in _lines([list(COLUMNS), *(row for item in compared for row in item.table())]):
        context.progress.note(f"  {line}")
    content: JSON = {
        "refused": error.message,
        "summary": summary(compared),
        "comparisons": [item.to_json() for item in compared],
    }
    write_whole(path, readable_json(content))
    return RefusedError(error.message, hint=f"{error.hint}\nAll figures: {path}")


def _lines(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
