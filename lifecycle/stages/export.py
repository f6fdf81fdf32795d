"""Export: a checkpoint in, files proven equal to it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from lifecycle.core import plugins
from lifecycle.core.artifact import Artifact
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError
from lifecycle.core.signature import Signature
from lifecycle.core.stage import Context, Stage
from lifecycle.stages.facts import facts_of

PROOF_BATCHES = 2
PROOF_SAMPLES = 64


@dataclass(frozen=True, kw_only=True)
class Export(Stage):
    """Write the module in every format that is asked for, and compare each file with it.

    Attributes:
        formats: Names of the table of formats; ``onnx`` is what evaluate and serve need.
    """

    consumes: ClassVar[tuple[str, ...]] = ("checkpoint",)
    produces: ClassVar[str] = "bundle"

    formats: tuple[str, ...] = ("onnx",)

    def __post_init__(self) -> None:
        if not self.formats:
            raise UsageError(f"formats is empty; allowed: {', '.join(plugins.table('formats'))}")
        if "onnx" not in self.formats:
            raise UsageError(
                f"formats is {list(self.formats)}; add onnx, which is what evaluate and serve run"
            )
        for name in self.formats:
            if name not in plugins.table("formats"):
                plugins.load("formats", name)

    def run(self, given: Mapping[str, Artifact], into: Path, context: Context) -> Artifact:
        """Export, run every file back, refuse what differs."""
        return export_checkpoint(
            given["checkpoint"], into, context, self.formats, facts_of(self, context, {})
        )


def export_checkpoint(
    checkpoint: Artifact, into: Path, context: Context, formats: tuple[str, ...], facts: Mapping[str, JSON]
) -> Artifact:
    """A bundle of a checkpoint, proven on validation samples and on random ones."""
    from lifecycle.compress.file_edit import file_edits
    from lifecycle.compress.quantizer import convert_quantized, is_quantized
    from lifecycle.export.bundle import write_bundle
    from lifecycle.stages.inputs import record_inputs, samples
    from lifecycle.train.artifact import open_checkpoint, read_recipe

    signature = Signature.from_json(checkpoint.read_json("signature.json"))
    reference = open_checkpoint(checkpoint)
    inputs = record_inputs(reference, context, "val", batches=PROOF_BATCHES)
    context.progress.note(f"  converting to {', '.join(formats)} and comparing with the module")
    quantized = is_quantized(reference)
    return write_bundle(
        convert_quantized(reference) if quantized else reference,
        signature=signature,
        formats=formats,
        samples=samples(signature, inputs, PROOF_SAMPLES),
        into=into,
        reference=reference,
        precision="int8" if quantized else "float32",
        file_edits=file_edits(read_recipe(checkpoint).edits),
        parent=checkpoint,
        facts=facts,
    )
