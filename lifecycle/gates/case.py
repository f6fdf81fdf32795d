"""What gates look at: the candidate and the present champion, as they lie in the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from lifecycle.core.artifact import Artifact
from lifecycle.core.signature import Signature
from lifecycle.core.threshold import Threshold
from lifecycle.core.verdict import Row
from lifecycle.registry import Version

if TYPE_CHECKING:
    from lifecycle.gates.comparison import Comparison


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A version that is to become champion, and the champion that it would follow."""

    candidate: Version
    champion: Version | None


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """A version with its files, which are, byte for byte, those that were registered.

    Attributes:
        version: As the registry knows it.
        bundle: What would be served.
        evaluation: What was measured on it.
    """

    version: Version
    bundle: Artifact
    evaluation: Artifact

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return Signature.from_json(self.bundle.read_json("signature.json"))

    @property
    def metrics(self) -> dict[str, float]:
        """What evaluation measured on the exported file, by the clock included."""
        scored = cast("dict[str, float]", self.evaluation.read_json("metrics.json")["metrics"])
        return {**cast("dict[str, float]", self.evaluation.facts.get("metrics", {})), **scored}

    @property
    def served_files(self) -> list[Path]:
        """The ONNX file, and the weights that lie beside it where they are too large for it."""
        others = {"manifest.json", "facts.json", "signature.json", "parity.json", "model.ts", "model.pt2"}
        return [path for path in self.bundle.path.rglob("*") if path.is_file() and path.name not in others]

    @property
    def data(self) -> str:
        """The fingerprint of the data that it was scored on."""
        return str(self.evaluation.read_json("metrics.json")["data"])


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is to be judged.

    Attributes:
        candidate: What is to become champion.
        champion: What is champion; None where there is none, or where it is the candidate itself.
        thresholds: Limits by metric, as the pipeline file set them when the candidate was registered.
        checkpoint: Fetches what the candidate was exported from.
    """

    candidate: Exhibit
    champion: Exhibit | None
    thresholds: Mapping[str, Mapping[str, float]]
    checkpoint: Callable[[], Artifact]

    @cached_property
    def limits(self) -> dict[str, Threshold]:
        """The thresholds, by metric."""
        return {metric: Threshold(**limits) for metric, limits in self.thresholds.items()}

    @cached_property
    def comparison(self) -> Comparison:
        """Candidate and champion, scored on the candidate's test data when first asked for.

        Raises:
            LifecycleError: it cannot be made; says why.
        """
        from lifecycle.gates.comparison import compare

        return compare(self.candidate, self.champion, self.checkpoint())


class Gate(Protocol):
    """One reason not to promote."""

    def judge(self, case: Case) -> list[Row]:
        """What was measured and what is allowed; none where there is nothing to say."""
