"""Making a bundle: every format written, run back, compared, and only then put in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from torch import nn

from lifecycle.core.artifact import Artifact, Draft
from lifecycle.core.canonical import JSON, readable_json
from lifecycle.core.errors import ArtifactError, RefusedError, UsageError, suggest
from lifecycle.core.signature import Array, Signature
from lifecycle.export.batches import pick
from lifecycle.export.comparison import Comparison
from lifecycle.export.edited import check_edits, edit_proven
from lifecycle.export.formats import Format, load_format
from lifecycle.export.integers import holds_integer_weights
from lifecycle.export.network import Network, evaluating
from lifecycle.export.parity import Reference
from lifecycle.export.runtime import SIGNATURE, open_file
from lifecycle.export.tolerance import FLOAT, INTEGER_KERNELS, INTEGERS_AS_WRITTEN, Precision, Tolerance

PARITY = "parity.json"
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

    Raises:
        UsageError: a format is unknown or none is named, the samples or outputs are not as declared, or
            `precision` is not what the module holds.
        LifecycleError: the module cannot be converted.
        RefusedError: a file differs from the module; nothing is left behind.
    """
    chosen = _formats(formats)
    check_edits(chosen, file_edits)
    _check_precision(module, precision)
    signature.check(samples)
    postprocess = getattr(module, "postprocess", None) or getattr(reference, "postprocess", None)
    # Two samples to trace with: exporters take an axis of size one for a fixed one.
    example = pick(signature, samples, [0, -1])
    network = Network(module, signature, example, postprocess=postprocess)
    right = Network(reference or module, signature, example, postprocess=postprocess)
    answers = Reference(right, samples)
    with Draft(into) as draft:
        (draft.path / SIGNATURE).write_bytes(readable_json(signature.to_json()))
        comparisons: list[Comparison] = []
        for format in chosen:
            path = draft.path / format.filename
            with evaluating(network):
                format.write(network, path)
            comparisons += prove(answers, format, path, precision)
            comparisons += edit_proven(answers, format, path, file_edits)
        (draft.path / PARITY).write_bytes(readable_json(_parity(comparisons, precision)))
        sizes: dict[str, JSON] = {
            format.name: (draft.path / format.filename).stat().st_size for format in chosen
        }
        known = dict(facts or {}) | {"size_bytes": sizes, "parity": summary(comparisons)}
        return draft.seal("bundle", parent=parent, facts=known)


def prove(answers: Reference, format: Format, path: Path, precision: Precision) -> list[Comparison]:
    """Run a file back and compare it in each way that it can be run.

    Raises:
        RefusedError: it cannot be opened or run, or is outside the tolerance; says where and by how much.
    """
    found = []
    for run, as_written, tolerance in _ways(format, precision):
        try:
            model = open_file(path, answers.signature, format.name, as_written=as_written)
        except ArtifactError as error:
            raise RefusedError(f"the {format.name} file is not what was exported: {error.message}") from error
        comparison = answers.compare(model, tolerance, run=run)
        if not comparison.holds:
            raise RefusedError(comparison.refusal(), hint=_HINT)
        found.append(comparison)
    return found


def summary(comparisons: Sequence[Comparison]) -> dict[str, JSON]:
    """The worst figures of each format and way to run it, by ``"onnx, as run"``."""
    return {
        f"{comparison.format}, {comparison.run}": {
            "max_error": max(row.max_error for row in comparison.rows),
            "mean_error": max(comparison.mean_errors.values()),
            "top1": min((row.top1 for row in comparison.rows if row.top1 is not None), default=None),
        }
        for comparison in comparisons
    }


def _ways(format: Format, precision: Precision) -> list[tuple[str, bool, Tolerance]]:
    """How a file is run for the proof: name, whether operator by operator, tolerance.

    A file is right by itself, not by what one runtime makes of it: ONNX Runtime takes a dropout that was
    left on out of the graph.
    """
    written, run = (FLOAT, FLOAT) if precision == "float32" else (INTEGERS_AS_WRITTEN, INTEGER_KERNELS)
    if format.open_as_written is None:
        return [("as run", False, written)]
    return [("as written", True, written), ("as run", False, run)]


def _parity(comparisons: Sequence[Comparison], precision: Precision) -> dict[str, JSON]:
    return {"precision": precision, "comparisons": [comparison.to_json() for comparison in comparisons]}


def _formats(names: Sequence[str]) -> list[Format]:
    if not names:
        raise UsageError("export.formats names no format: onnx is the one that is served")
    return [load_format(name) for name in dict.fromkeys(names)]


def _check_precision(module: nn.Module, precision: Precision) -> None:
    if precision not in get_args(Precision):
        raise UsageError(f"no precision is called '{precision}': {suggest(precision, get_args(Precision))}")
    holds = "int8" if holds_integer_weights(module) else "float32"
    if holds != precision:
        raise UsageError(
            f"{type(module).__name__} has {holds} weights, but is to be exported as {precision}",
            hint="Give a quantized module as convert_quantized returns it, with precision='int8'.",
        )
