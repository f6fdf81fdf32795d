"""What holds for every gate, built in or brought by another distribution."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from lifecycle.core import plugins
from lifecycle.core.errors import RefusedError, UsageError
from lifecycle.core.verdict import Row
from lifecycle.gates.case import Case, Exhibit, Gate
from lifecycle.promotion import promote, propose
from lifecycle.registry import Version, fetch, fetch_checkpoint, gates_of
from tests.docs.plugins import installed
from tests.versions import registered

# A built-in name is not given away.
POINTS = "[lifecycle.gates]\nlicence = own.gate:Licensed\nparity = tests.contracts:NOTHING\n"


@pytest.fixture(autouse=True)
def own(tmp_path: Path) -> Iterator[Path]:
    """The distribution of docs/extending.md, which claims the name of a built-in gate too: its entry points."""
    with installed(tmp_path / "site", POINTS) as points:
        yield points


@pytest.fixture(params=[*plugins.TABLES["gates"], "licence"])
def gate(request: pytest.FixtureRequest) -> Gate:
    found: Gate = plugins.load("gates", request.param)()
    return found


def exhibit(client: MlflowClient, version: Version, folder: Path) -> Exhibit:
    bundle, evaluation = fetch(client, version, folder)
    return Exhibit(version=version, bundle=bundle, evaluation=evaluation)


def test_a_gate_says_rows_with_and_without_a_champion(
    gate: Gate, client: MlflowClient, tmp_path: Path
) -> None:
    versions = [registered(client, tmp_path / name, label=name) for name in "ab"]
    first, second = (exhibit(client, version, tmp_path / "served") for version in versions)
    for champion in (None, first):
        case = Case(
            candidate=second,
            champion=champion,
            thresholds=gates_of(second.version),
            checkpoint=lambda: fetch_checkpoint(client, versions[1], tmp_path / "served"),
        )
        rows = gate.judge(case)
        assert all(isinstance(row, Row) and row.term and row.measured and row.limit for row in rows)
        assert all(row.holds for row in rows if row.term != "licence"), (
            "it is a good one, and like the champion"
        )
        assert [row.term for row in rows] == [row.term for row in gate.judge(case)], (
            "asked twice, it says the same"
        )


def test_a_gate_of_another_distribution_refuses(client: MlflowClient, tmp_path: Path) -> None:
    registered(client, tmp_path / "a")
    promotion = propose(client, "models:/digits@challenger", tmp_path / "served")
    assert [row.term for row in promotion.rows].count("licence") == 1
    with pytest.raises(RefusedError, match=r"REFUSED  licence: none \(allowed: one is named\)"):
        promote(client, promotion)
    assert promote(client, promotion, reason="ours", force=True) is not None


def test_what_is_no_gate_is_said(client: MlflowClient, tmp_path: Path, own: Path) -> None:
    registered(client, tmp_path / "a")
    own.write_text("[lifecycle.gates]\nlicence = own.gate:__doc__\n")
    importlib.invalidate_caches()
    plugins.table.cache_clear()
    with pytest.raises(UsageError, match="gate 'licence' is no class with a method judge"):
        propose(client, "models:/digits@challenger", tmp_path / "served")
