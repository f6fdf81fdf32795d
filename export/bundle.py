"""Making a bundle: every format written, run back, compared, and only then put in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import get_args

from torch import nn

from lifecycle.core.artifact import Artifact, Draft
from lifecycle.core.canonical import JSON, readable_json
from lifecycle.core.errors import ArtifactError, LifecycleError, RefusedError, UsageError, suggest
from lifecycle.core.signature import Array, Signature
from lifecycle.export.batches import check_samples, example
from lifecycle.export.comparison import Comparison, summary
from lifecycle.export.edited import check_edits, edit_proven
from lifecycle.export.formats import Format, Written, load_format
from lifecycle.export.integers import precision_of
from lifecycle.export.network import Network, evaluating
from lifecycle.export.parity import Reference
from lifecycle.export.runtime import SIGNATURE, open_file
from lifecycle.export.settings import WriteSettings
from lifecycle.export.tolerance import FLOAT, HALF, INTEGER_KERNELS, INTEGERS_AS_WRITTEN, Precision, Tolerance

PARITY = "parity.json"
_DEFAULT = WriteSettings()
_HINT = "Nothing was kept. If forward draws random numbers in evaluation too, no file can equal it."


def write_bundle(
    module: nn.Module,
    *,
    signature: Signature,
    formats: Sequence[str],
    samples: Mapping[str, Array],
    into: Path,
    reference: nn.Module | None = None,
    precision: Precision = "float32",
    file_edits: Sequence[Mapping[str, JSON]] = (),
    parent: Artifact | None = None,
    facts: Mapping[str, JSON] | None = None,
    settings: WriteSettings = _DEFAULT,
    report: Callable[[Comparison], None] = lambda comparison: None,
) -> Artifact:
    """Convert a module to every format asked for, prove each file equal to it, and seal the lot.

    The module is taken in evaluation mode and left in the mode it was in.

    Args:
        module: What to export; a converted graph may have lost ``postprocess``, which `reference` then gives.
        signature: Names, types, shapes and ranges.
        formats: Names of the table of formats, ``("onnx", "torchscript")``.
        samples: Held-out data to compare on: one array to each input, the same number of samples in each.
        into: Where the bundle is to stand.
        reference: The module that is right, where it is not `module` itself.
        precision: What the weights are; decides the tolerance.
        file_edits: What compression recorded to be done to files once they are proven.
        parent: The checkpoint that the module comes from.
        facts: What else to record; sizes and a summary of the proof are added.
        settings: Choices of conversion.
        report: Called with every comparison as soon as it is made, before a file is refused.

    Raises:
        UsageError: a format is unknown or none is named, the samples or outputs are not as declared, or
            `precision` is not what the module holds.
        LifecycleError: the module cannot be converted, or the disk is full or may not be written.
        RefusedError: a file differs from the module, or its format cannot carry the edits; nothing is left
            behind.
    """
    chosen = _formats(formats)
    check_edits(chosen, file_edits)
    _check_precision(module, precision)
    check_samples(signature, samples)
    postprocess = getattr(module, "postprocess", None) or getattr(reference, "postprocess", None)
    traced = example(signature, samples)
    network = Network(module, signature, traced, postprocess=postprocess)
    network.parent = parent.digest if parent else None
    right = Network(reference or module, signature, traced, postprocess=postprocess)
    answers = Reference(right, samples)
    try:
        with Draft(into) as draft:
            known = _fill(draft.path, network, answers, chosen, precision, file_edits, settings, report)
            return draft.seal("bundle", parent=parent, facts=dict(facts or {}) | known)
    except OSError as error:
        raise LifecycleError(
            f"the bundle cannot be written to {into}: {error.strerror or error}",
            hint="Nothing was kept. Make room, or choose a folder that may be written.",
        ) from error


def _fill(
    folder: Path,
    network: Network,
    answers: Reference,
    chosen: Sequence[Format],
    precision: Precision,
    file_edits: Sequence[Mapping[str, JSON]],
    settings: WriteSettings,
    report: Callable[[Comparison], None],
) -> dict[str, JSON]:
    """Write every file into a folder and prove it; what to record about them."""
    (folder / SIGNATURE).write_bytes(readable_json(network.signature.to_json()))
    comparisons: list[Comparison] = []
    written: dict[str, Written] = {}
    for format in chosen:
        path = folder / format.filename
        with evaluating(network):
            written[format.name] = format.write(network, path, settings)
        comparisons += prove(answers, format, path, precision, network=network, report=report)
        comparisons += edit_proven(answers, format, path, file_edits, report)
    (folder / PARITY).write_bytes(readable_json(_parity(comparisons, precision, written)))
    sizes: dict[str, JSON] = {format.name: format.size_bytes(folder) for format in chosen}
    return {"size_bytes": sizes, "parity": summary(comparisons)}


def prove(
    answers: Reference,
    format: Format,
    path: Path,
    precision: Precision,
    *,
    network: Network | None = None,
    report: Callable[[Comparison], None] = lambda comparison: None,
) -> list[Comparison]:
    """Run a file back and compare it in each way that it can be run.

    Args:
        answers: What is right.
        format: Of the file.
        path: The file.
        precision: Decides the tolerance.
        network: What the file was made of, to find the first node that differs; by default what is right.
        report: Called with every comparison, before a file is refused.

    Raises:
        RefusedError: it cannot be opened or run, or is outside the tolerance; says where and by how much, and
            for ONNX which node is the first that differs.
    """
    found = []
    for run, as_written, tolerance in _ways(format, precision):
        try:
            model = open_file(path, answers.signature, format.name, as_written=as_written)
        except ArtifactError as error:
            raise RefusedError(f"the {format.name} file is not what was exported: {error.message}") from error
        comparison = answers.compare(model, tolerance, run=run)
        report(comparison)
        if not comparison.holds:
            raise RefusedError(
                comparison.refusal() + _first_node(comparison, answers, network or answers.network, path),
                hint=_HINT,
            )
        found.append(comparison)
    return found


def _first_node(comparison: Comparison, answers: Reference, network: Network, path: Path) -> str:
    if comparison.format != "onnx":
        return ""
    inputs = answers.inputs_of(comparison.worst())
    found = answers.locator(network).first(path, inputs, comparison.tolerance)
    return f"; {found}" if found else ""


def _ways(format: Format, precision: Precision) -> list[tuple[str, bool, Tolerance]]:
    """How a file is run for the proof: name, whether operator by operator, tolerance.

    A file is right by itself, not by what one runtime makes of it: ONNX Runtime takes a dropout that was
    left on out of the graph.
    """
    written, run = {
        "float32": (FLOAT, FLOAT),
        "float16": (HALF, HALF),
        "int8": (INTEGERS_AS_WRITTEN, INTEGER_KERNELS),
    }[precision]
    if format.open_as_written is None:
        return [("as run", False, written)]
    return [("as written", True, written), ("as run", False, run)]


def _parity(
    comparisons: Sequence[Comparison], precision: Precision, written: Mapping[str, Written]
) -> dict[str, JSON]:
    return {
        "precision": precision,
        "comparisons": [comparison.to_json() for comparison in comparisons],
        "conversion": {name: item.to_json() for name, item in written.items()},
    }


def _formats(names: Sequence[str]) -> list[Format]:
    if not names:
        raise UsageError("export.formats names no format: onnx is the one that is served")
    return [load_format(name) for name in dict.fromkeys(names)]


def _check_precision(module: nn.Module, precision: Precision) -> None:
    if precision not in get_args(Precision):
        raise UsageError(f"no precision is called '{precision}': {suggest(precision, get_args(Precision))}")
    holds = precision_of(module)
    if holds != precision:
        raise UsageError(
            f"{type(module).__name__} has {holds} weights, but is to be exported as {precision}",
            hint="Give a quantized module as convert_quantized returns it, with precision='int8'.",
        )
