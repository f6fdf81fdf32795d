"""What a file is, for a stranger who has nothing but the file; and what lies beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from lifecycle.core.artifact import MANIFEST, open_artifact
from lifecycle.core.canonical import JSON, sha256_file
from lifecycle.core.errors import ArtifactError, UsageError
from lifecycle.core.signature import Signature, shape_text
from lifecycle.core.statistics import Statistics
from lifecycle.export.formats import Format, format_of, formats


def show(path: Path) -> dict[str, JSON]:
    """Everything that a file says of itself, and its bundle's facts and proof where it lies in one.

    Nothing in the file is run.

    Args:
        path: A file of one of the formats, or the folder of a bundle.

    Raises:
        UsageError: there is no such file, or no format's files end so.
        ArtifactError: it is damaged, or its bundle was altered.
    """
    file = _file(path)
    format = format_of(file)
    found: dict[str, JSON] = {
        "file": str(file),
        "format": format.name,
        "summary": format.summary,
        "bytes": file.stat().st_size,
        "sha256": sha256_file(file),
        "meaning": dict(format.meaning(file)),
    }
    if format.name == "onnx":
        found["graph"] = _graph(file)
    if (file.parent / MANIFEST).is_file():
        bundle = open_artifact(file.parent)
        found["bundle"] = {"digest": bundle.digest, "kind": bundle.kind, "facts": dict(bundle.facts)}
        if (file.parent / "parity.json").is_file():
            found["proof"] = _proof(bundle.read_json("parity.json"), format)
    return found


def table(found: Mapping[str, JSON]) -> list[list[str]]:
    """The same for people: rows of a name and a value."""
    meaning = found["meaning"]
    assert isinstance(meaning, Mapping)
    rows = [[name, str(found[name])] for name in ("format", "summary", "bytes", "sha256")]
    rows += _meaning_rows(meaning) if meaning else [["meaning", "none: another program wrote this file"]]
    graph = found.get("graph")
    if isinstance(graph, Mapping):
        rows += [[name, str(value)] for name, value in graph.items()]
    bundle = found.get("bundle")
    if isinstance(bundle, Mapping) and isinstance(facts := bundle.get("facts"), Mapping):
        rows.append(["bundle", str(bundle["digest"])])
        rows += [[name, _short(facts[name])] for name in _FACTS if facts.get(name)]
    proof = found.get("proof")
    if isinstance(proof, Mapping):
        rows += [[name, _short(value)] for name, value in proof.items()]
    return rows


_FACTS = ("made", "run", "seed", "model", "data", "git", "versions", "metrics", "size_bytes")


def _file(path: Path) -> Path:
    if path.is_dir():
        for format in formats():
            if (path / format.filename).is_file():
                return path / format.filename
        raise ArtifactError(f"{path} holds no file of a format: {', '.join(f.filename for f in formats())}")
    if not path.is_file():
        raise UsageError(f"no file {path}")
    return path


def _graph(file: Path) -> dict[str, JSON]:
    from lifecycle.export.graph import nodes
    from lifecycle.export.inspection import inspect, parse

    model = parse(file, file.read_bytes())
    inspect(file, model)
    counts = Counter(node.op_type for node in nodes(model))
    return {
        "opset": max(item.version for item in model.opset_import if item.domain in ("", "ai.onnx")),
        "operators": ", ".join(f"{name} {count}" for name, count in counts.most_common()),
    }


def _proof(parity: Mapping[str, JSON], format: Format) -> dict[str, JSON]:
    """How the file was made, and the worst figure of each way to run it."""
    found: dict[str, JSON] = {}
    conversion, comparisons = parity.get("conversion"), parity.get("comparisons")
    if isinstance(conversion, Mapping):
        found["conversion"] = conversion.get(format.name)
    for item in comparisons if isinstance(comparisons, list) else ():
        if isinstance(item, Mapping) and item.get("format") == format.name:
            rows = [row for row in _list(item.get("rows")) if isinstance(row, Mapping)]
            found[f"proven {item['run']}"] = {
                "batches": len({(str(row["data"]), row["batch"], str(row["axes"])) for row in rows}),
                "max_error": max(float(str(row["max_error"])) for row in rows),
            }
    return found


def _meaning_rows(meaning: Mapping[str, JSON]) -> list[list[str]]:
    signature = Signature.from_json({"labels": [], "task": "", "inputs": [], "outputs": [], **meaning})
    rows = [
        [kind, f"{spec.name}  {spec.dtype}  {shape_text(spec.shape)}{_range(spec.range)}"]
        for kind, specs in (("input", signature.inputs), ("output", signature.outputs))
        for spec in specs
    ]
    rows += [["axis", f"{axis}  {low} to {high}"] for axis, (low, high) in signature.axes.items()]
    rows += [["training data", f"{name}  {_words(item)}"] for name, item in signature.statistics.items()]
    named = {
        "task": signature.task,
        "labels": ", ".join(signature.labels),
        "licence": signature.licence,
        "parent": str(meaning.get("parent") or ""),
    }
    return rows + [[name, value] for name, value in named.items() if value]


def _range(limits: tuple[float, float] | None) -> str:
    return f"  from {limits[0]:g} to {limits[1]:g}" if limits else ""


def _words(item: Statistics) -> str:
    return (
        f"mean {item.mean:g}, std {item.std:g}, {item.min:g} to {item.max:g}, median {item.quantiles[2]:g}, "
        f"{item.samples} samples"
    )


def _short(value: JSON) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_short(item)}" for name, item in value.items())
    if isinstance(value, list):
        return "; ".join(map(_short, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _list(value: JSON) -> list[JSON]:
    return value if isinstance(value, list) else []
