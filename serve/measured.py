"""What was measured on a bundle: from its own facts, and from the evaluation that was fetched with it."""

from __future__ import annotations

from collections.abc import Mapping

from lifecycle.core.artifact import MANIFEST, Artifact, open_artifact
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import ArtifactError
from lifecycle.registry import CARD

EVALUATION = "evaluation"
_LONGEST_CARD = 100_000
_NUMBERS = ("latency_ms", "macs", "params", "size_bytes")


def measured_on(bundle: Artifact) -> dict[str, JSON]:
    """Numbers and origin, as far as they are at hand.

    The registry keeps the evaluation of a version in a folder beside its bundle; it counts only if it says
    that it is of this very bundle.

    Returns:
        ``headline`` (metrics by name), ``latency_ms``, ``macs``, ``params``, ``size_bytes``, ``made``,
        ``commit`` and ``card`` (Markdown); what is unknown is left out.
    """
    found: dict[str, JSON] = {"size_bytes": bundle.file("model.onnx").stat().st_size}
    git = bundle.facts.get("git")
    found["commit"] = git.get("commit") if isinstance(git, Mapping) else None
    found["made"] = bundle.facts.get("made")
    found["card"] = _card(bundle)
    evaluation = _evaluation(bundle)
    if evaluation is not None:
        numbers = evaluation.numbers()
        found |= {name: numbers.get(name) for name in _NUMBERS if name in numbers}
        headline = evaluation.facts.get("headline")
        names = [str(name) for name in headline] if isinstance(headline, list) else []
        found["headline"] = {name: numbers[name] for name in names if name in numbers}
    return {name: value for name, value in found.items() if value is not None}


def _card(bundle: Artifact) -> str | None:
    """What the registry says of the version, kept beside its bundle when it was fetched."""
    try:
        return (bundle.path.parent / CARD).read_text()[:_LONGEST_CARD].strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _evaluation(bundle: Artifact) -> Artifact | None:
    folder = bundle.path.parent / EVALUATION
    if not (folder / MANIFEST).is_file():
        return None
    try:
        found = open_artifact(folder, EVALUATION)
        of = found.read_json("metrics.json").get("bundle")
    except (ArtifactError, ValueError):  # only shown to people: a server does not refuse to start for it
        return None
    return found if of == bundle.digest else None
