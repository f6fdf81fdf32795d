"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lifecycle.core.canonical import JSON

State = Literal["ok", "note", "broken"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        area: ``installation``, ``devices``, ``tracking``, ``workspace``, ``plug-ins`` or ``registry``.
        what: What was found, in a sentence.
        state: ``broken`` is what stops work or loses something; ``note`` is worth knowing.
        mend: What to do about it; empty where nothing is to be done.
    """

    area: str
    what: str
    state: State = "ok"
    mend: str = ""

    def to_json(self) -> dict[str, JSON]:
        """Plain data."""
        return {"area": self.area, "what": self.what, "state": self.state, "mend": self.mend}
