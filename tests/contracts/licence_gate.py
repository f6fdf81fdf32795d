"""A gate as another distribution would bring it: a model without a licence is not promoted."""

from __future__ import annotations

from lifecycle.core.verdict import Row
from lifecycle.gates.case import Case


class Licensed:
    """The signature names a licence."""

    def judge(self, case: Case) -> list[Row]:
        licence = case.candidate.signature.licence
        return [Row(term="licence", measured=licence or "none", limit="one is named", holds=bool(licence))]
