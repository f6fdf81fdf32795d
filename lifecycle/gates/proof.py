"""Gates that look at where the bytes come from; nobody overrules them."""

from __future__ import annotations

from collections.abc import Mapping

from lifecycle.core.verdict import Row
from lifecycle.gates.case import Case


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
