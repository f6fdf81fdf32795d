"""Gates that look at where the bytes come from; nobody overrules them."""

from __future__ import annotations

from collections.abc import Mapping

from lifecycle.core.errors import LifecycleError
from lifecycle.core.verdict import Row
from lifecycle.gates.case import Case
from lifecycle.registry import CHECKPOINT

# Operator sets that ONNX Runtime has built in: whoever serves needs no other library.
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")


class EvaluatedFile:
    """The scores are those of this very file."""

    def judge(self, case: Case) -> list[Row]:
        """One row."""
        bundle, evaluation = case.candidate.bundle, case.candidate.evaluation
        scored = str(evaluation.read_json("metrics.json")["bundle"])
        return [
            Row(
                term="evaluated file",
                measured=scored[:12],
                limit=bundle.digest[:12],
                holds=scored == bundle.digest,
                final=True,
            )
        ]


class Provenance:
    """The file was exported from the checkpoint that was registered with it: its code and data are known."""

    def judge(self, case: Case) -> list[Row]:
        """One row."""
        version, bundle = case.candidate.version, case.candidate.bundle
        kept = version.tags.get(CHECKPOINT)
        holds = kept is not None and bundle.parent == kept
        measured = f"exported from checkpoint {(bundle.parent or '(unknown)')[:12]}{_commit(bundle.facts)}"
        limit = f"the one registered with it, {kept[:12]}" if kept else "registered with its checkpoint"
        return [Row(term="provenance", measured=measured, limit=limit, holds=holds, final=True)]


def _commit(facts: Mapping[str, object]) -> str:
    git = facts.get("git")
    if not isinstance(git, Mapping) or not git.get("commit"):
        return ""
    return f", commit {str(git['commit'])[:9]}{' with changes' if git.get('dirty') else ''}"


class OnnxOnly:
    """What would be served is an ONNX file that is whole, and needs nothing but ONNX Runtime."""

    def judge(self, case: Case) -> list[Row]:
        """One row."""
        limit = "whole, and of ONNX Runtime's own operator sets"
        try:
            domains = _domains(case)
        except (LifecycleError, ValueError) as error:  # what protobuf and the checker raise
            text = str(error).strip().partition("\n")[0]
            return [Row(term="served file", measured=text, limit=limit, holds=False, final=True)]
        foreign = sorted(set(domains) - set(_DOMAINS))
        text = ", ".join(f"{name or 'ai.onnx'} {number}" for name, number in sorted(domains.items()))
        return [Row(term="served file", measured=text, limit=limit, holds=not foreign, final=True)]


def _domains(case: Case) -> dict[str, int]:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    path = case.candidate.bundle.file("model.onnx")
    try:
        onnx.checker.check_model(str(path))
    except (onnx.checker.ValidationError, DecodeError) as error:
        raise ValueError(f"{path.name} is no whole ONNX file: {error}") from error
    model = onnx.load(str(path), load_external_data=False)
    return {opset.domain: opset.version for opset in model.opset_import}


class Parity:
    """Every comparison of every file with the module is in the bundle, and holds."""

    def judge(self, case: Case) -> list[Row]:
        """One row."""
        found = case.candidate.bundle.read_json("parity.json").get("comparisons")
        comparisons = found if isinstance(found, list) else []
        held = [isinstance(each, Mapping) and each.get("holds") is True for each in comparisons]
        return [
            Row(
                term="parity",
                measured=f"{sum(held)} of {len(held)} comparisons hold",
                limit="all, at least one",
                holds=bool(held) and all(held),
                final=True,
            )
        ]
