"""The part of the page that says what was taken for what."""

from __future__ import annotations

from lifecycle.report.page.known import RunFacts
from lifecycle.report.page.section import Matrix, Section
from lifecycle.report.page.table import Cell, Table

MOST_CLASSES = 30  # of a matrix that is still read
_MOST_PAIRS = 12


def confusion(facts: RunFacts) -> Section | None:
    """The matrix, and the pairs that are confused most; None where targets or labels are not known."""
    known = facts.known
    outcomes, signature = known.outcomes, known.signature
    if outcomes is None or signature is None or not signature.labels:
        return None
    labels = signature.labels
    counts = outcomes.matrix(len(labels))
    pairs = sorted(
        (
            (-found, row, column)
            for row, line in enumerate(counts)
            for column, found in enumerate(line)
            if found and row != column
        )
    )[:_MOST_PAIRS]
    rows = tuple(
        (
            Cell(labels[row]),
            Cell(labels[column]),
            Cell(str(-found), -found),
            Cell(str(sum(counts[row])), sum(counts[row])),
        )
        for found, row, column in pairs
    )
    table = Table(caption="Confused most", columns=("is", "was taken for", "times", "of"), rows=rows)
    wrong = len(outcomes.targets) - outcomes.right
    said = (
        f"{outcomes.right} of {len(outcomes.targets)} test samples were answered as they should be, "
        f"{wrong} were not."
    )
    matrix = Matrix(labels=labels, counts=tuple(map(tuple, counts))) if len(labels) <= MOST_CLASSES else None
    return Section(
        name="confusion",
        title="What was taken for what",
        texts=(said,),
        tables=(table,) if rows else (),
        matrix=matrix,
    )
