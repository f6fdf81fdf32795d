"""What gates look at: the candidate and the present champion, as they lie in the registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast

from lifecycle.core.artifact import Artifact
from lifecycle.core.signature import Signature
from lifecycle.core.verdict import Row
from lifecycle.registry import Version


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
    """

    candidate: Exhibit
    champion: Exhibit | None
    thresholds: Mapping[str, Mapping[str, float]]


class Gate(Protocol):
    """One reason not to promote."""

    def judge(self, case: Case) -> list[Row]:
        """What was measured and what is allowed; none where there is nothing to say."""
