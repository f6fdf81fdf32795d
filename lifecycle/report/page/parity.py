"""The part of the page that proves the files: what comparing them with the module found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from lifecycle.report.page.known import RunFacts
from lifecycle.report.page.section import Section
from lifecycle.report.page.table import Cell, Table, texts


def parity(facts: RunFacts) -> Section | None:
    """What comparing the files with the module found: the worst of each output, and all behind it."""
    from lifecycle.export.comparison import COLUMNS, table_of

    bundle = facts.artifact("bundle")
    content = bundle.read_json("parity.json") if bundle is not None else {}
    compared = cast("list[dict[str, Any]]", content.get("comparisons") or [])
    if not compared or not all("rows" in each for each in compared):
        return None
    rows = tuple(row for each in compared for row in _worst(each))
    columns = ("file, output", "largest error", "allowed", "mean error", "allowed", "same class", "verdict")
    said = (
        f"{sum(bool(each['holds']) for each in compared)} of {len(compared)} comparisons of files with the "
        "module hold. Errors are shares of the output's range, the worst over samples, random data and edges."
    )
    return Section(
        name="parity",
        title="Proof of the files",
        texts=(said,),
        tables=(Table(caption="Worst error of each output", columns=columns, rows=rows).without_empty(),),
        more=texts("Every file, output and kind of data", COLUMNS, table_of(content)),
    )


def _worst(comparison: Mapping[str, Any]) -> Iterator[tuple[Cell, ...]]:
    tolerance, means = comparison["tolerance"], comparison["mean_errors"]
    for output, mean in means.items():
        rows = [row for row in comparison["rows"] if row["output"] == output]
        worst = max(row["max_error"] for row in rows)
        top1 = [row["top1"] for row in rows if row["top1"] is not None]
        discrete = rows[0]["discrete"]
        limit = tolerance["flips" if discrete else "mean_error"]
        holds = all(row["holds"] for row in rows) and mean <= limit
        yield (
            Cell(f"{comparison['format']}, {comparison['run']}: {output}"),
            Cell(f"{worst:.2g}", worst),
            Cell("") if discrete else Cell(f"{tolerance['max_error']:g}", tolerance["max_error"]),
            Cell(f"{mean:.2g}", mean),
            Cell(f"{limit:g}", limit),
            Cell(f"{100 * min(top1):.1f} %", min(top1)) if top1 else Cell(""),
            Cell("ok" if holds else "refused", tone="good" if holds else "bad"),
        )


def worst_errors(content: Mapping[str, Any]) -> Sequence[tuple[str, float]]:
    """The worst of each file's outputs as a share of what is allowed, from ``parity.json``."""
    found = []
    for each in content.get("comparisons") or ():
        allowed = each["tolerance"]
        for output, mean in each["mean_errors"].items():
            rows = [row for row in each.get("rows") or () if row["output"] == output]
            if not rows:
                continue
            discrete = rows[0]["discrete"]
            worst = mean if discrete else max(row["max_error"] for row in rows)
            limit = allowed["flips" if discrete else "max_error"]
            found.append((f"{each['format']}, {each['run']}: {output}", worst / limit if limit else worst))
    return found
