"""The history of champions: linear, whoever writes at the same time and whoever dies on the way."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mlflow import MlflowClient

from lifecycle.core.errors import ConflictError, LifecycleError, RefusedError, UsageError
from lifecycle.ledger import Ledger
from lifecycle.promotion import promote, propose, rollback_target
from lifecycle.registry import alias_of, model_names
from lifecycle.tracking import connect
from lifecycle.workspace import Workspace
from tests.postgres import mlflow_server, postgres
from tests.race import check_linear, race
from tests.versions import QUICK, registered


def versions(client: MlflowClient, tmp_path: Path, count: int) -> None:
    for index in range(count):
        registered(client, tmp_path / f"v{index}", label=f"zero {index}", gates=QUICK)


def move(client: MlflowClient, tmp_path: Path, number: int, reason: str = "") -> None:
    promote(client, propose(client, f"models:/digits/{number}", tmp_path / "served"), reason=reason)


def back(client: MlflowClient, tmp_path: Path, to: int | None = None) -> None:
    target = rollback_target(client, "digits", to)
    uri = f"models:/digits/{target.number}"
    promote(client, propose(client, uri, tmp_path / "served", kind="rollback"))


def aliases(client: MlflowClient) -> dict[str, int]:
    found = {name: alias_of(client, "digits", name) for name in ("champion", "previous")}
    return {name: version.number for name, version in found.items() if version}


def test_promotions_and_rollbacks_are_written_down(client: MlflowClient, tmp_path: Path) -> None:
    versions(client, tmp_path, 3)
    before = datetime.now(UTC) - timedelta(seconds=1)
    move(client, tmp_path, 1, "the first")
    between = Ledger(client, "digits").read().of()[0].at
    time.sleep(0.01)
    move(client, tmp_path, 2)
    move(client, tmp_path, 3)
    assert aliases(client) == {"champion": 3, "previous": 2}
    back(client, tmp_path)
    assert aliases(client) == {"champion": 2, "previous": 1}
    back(client, tmp_path)
    assert aliases(client) == {"champion": 1}
    with pytest.raises(UsageError, match="version 1 is the first champion of digits: nothing was before it"):
        back(client, tmp_path)
    back(client, tmp_path, to=3)
    assert aliases(client) == {"champion": 3, "previous": 1}
    history = Ledger(client, "digits").read()
    assert [(entry.before, entry.version, entry.kind) for entry in history.of()] == [
        (None, 1, "promotion"),
        (1, 2, "promotion"),
        (2, 3, "promotion"),
        (3, 2, "rollback"),
        (2, 1, "rollback"),
        (1, 3, "rollback"),
    ]
    first = history.of()[0]
    assert (first.reason, first.forced, first.actor != "") == ("the first", False, True)
    assert [row.term for row in first.verdict][-1] == "size_bytes" and all(row.holds for row in first.verdict)
    assert history.at(before) is None
    then = history.at(between)
    assert then is not None and then.version == 1
    now = history.at(datetime.now(UTC))
    assert now is not None and now.version == 3
    # The ledger is no model, and is not offered as one.
    assert model_names(client) == ["digits"]


def test_a_rollback_goes_only_to_what_was_champion(client: MlflowClient, tmp_path: Path) -> None:
    versions(client, tmp_path, 3)
    with pytest.raises(UsageError, match=r"aliases: @challenger → 3; versions: 1, 2, 3|was never promoted"):
        back(client, tmp_path)
    move(client, tmp_path, 1)
    move(client, tmp_path, 2)
    with pytest.raises(UsageError, match="version 3 of digits never was champion; versions that were: 1, 2"):
        back(client, tmp_path, to=3)
    with pytest.raises(UsageError, match="version 2 is champion of digits already"):
        back(client, tmp_path, to=2)


def test_who_decided_on_another_champion_loses(client: MlflowClient, tmp_path: Path) -> None:
    versions(client, tmp_path, 3)
    move(client, tmp_path, 1)
    slow = propose(client, "models:/digits/2", tmp_path / "served")
    move(client, tmp_path, 3, "urgent")
    with pytest.raises(ConflictError) as lost:
        promote(client, slow)
    assert lost.value.exit_code == 4
    assert "digits@champion was moved meanwhile: " in lost.value.message
    assert "made version 3 champion at " in lost.value.message and "(urgent)" in lost.value.message
    assert aliases(client) == {"champion": 3, "previous": 1}


def test_a_champion_that_was_set_by_hand_is_where_a_ledger_begins(
    client: MlflowClient, tmp_path: Path
) -> None:
    versions(client, tmp_path, 2)
    client.set_registered_model_alias("digits", "champion", "1")
    move(client, tmp_path, 2)
    assert aliases(client) == {"champion": 2, "previous": 1}
    back(client, tmp_path)
    assert aliases(client) == {"champion": 1}


def test_a_death_between_entry_and_alias_is_mended_by_whoever_looks_next(
    client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions(client, tmp_path, 2)
    move(client, tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_move", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            move(client, tmp_path, 2)
    assert aliases(client) == {"champion": 1}
    assert Ledger(client, "digits").settle() is None
    assert aliases(client) == {"champion": 2, "previous": 1}


def test_what_somebody_else_put_into_the_ledger_counts_for_nothing(
    client: MlflowClient, tmp_path: Path
) -> None:
    versions(client, tmp_path, 2)
    move(client, tmp_path, 1)
    client.create_model_version("digits.ledger", source="models:/digits/2")
    assert [entry.version for entry in Ledger(client, "digits").read().of()] == [1]
    move(client, tmp_path, 2)
    assert aliases(client) == {"champion": 2, "previous": 1}


def test_a_process_without_a_name_may_promote(
    client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that runs under a number which its system does not know."""
    versions(client, tmp_path, 1)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    move(client, tmp_path, 1)
    assert Ledger(client, "digits").read().of()[0].actor == f"uid {os.getuid()}"


def test_an_alias_that_others_moved_is_told_and_moved_back_when_asked(
    client: MlflowClient, tmp_path: Path
) -> None:
    versions(client, tmp_path, 2)
    move(client, tmp_path, 2)
    client.set_registered_model_alias("digits", "champion", "1")
    ledger = Ledger(client, "digits")
    astray = ledger.settle()
    assert astray is not None and astray.version == 2
    assert aliases(client) == {"champion": 1}
    assert ledger.settle(repair=True) is None
    assert aliases(client) == {"champion": 2}
    client.delete_registered_model_alias("digits", "champion")
    assert ledger.settle() is not None


def test_force_needs_a_reason_and_never_overrules_the_bytes(client: MlflowClient, tmp_path: Path) -> None:
    registered(client, tmp_path / "a", test_acc=0.5)
    registered(client, tmp_path / "b", scored="f" * 64, label="zero")
    worse = propose(client, "models:/digits/1", tmp_path / "served")
    with pytest.raises(RefusedError):
        promote(client, worse, reason="because")
    with pytest.raises(UsageError, match="add --reason TEXT"):
        promote(client, worse, force=True)
    entry = promote(client, worse, reason="because", force=True)
    assert entry is not None and entry.forced and entry.reason == "because"
    assert [row.term for row in Ledger(client, "digits").read().of()[0].verdict if not row.holds] == [
        "test_acc"
    ]
    unproven = propose(client, "models:/digits/2", tmp_path / "served")
    with pytest.raises(RefusedError, match="evaluated file"):
        promote(client, unproven, reason="because", force=True)
    assert aliases(client) == {"champion": 1}


@pytest.mark.parametrize("alias", ["latest", "v3", "previous", "challenger", "a b", ""])
def test_aliases_that_are_not_to_be_promoted_to(client: MlflowClient, tmp_path: Path, alias: str) -> None:
    with pytest.raises(UsageError, match="alias"):
        propose(client, "models:/digits/1", tmp_path, alias=alias)


def test_other_aliases_have_a_history_of_their_own(client: MlflowClient, tmp_path: Path) -> None:
    versions(client, tmp_path, 2)
    move(client, tmp_path, 1)
    promote(client, propose(client, "models:/digits/2", tmp_path / "served", alias="canary"))
    history = Ledger(client, "digits").read()
    assert [entry.version for entry in history.of("canary")] == [2]
    assert aliases(client) == {"champion": 1}
    canary = alias_of(client, "digits", "canary")
    assert canary is not None and canary.number == 2


@pytest.mark.timeout(200)
def test_of_those_who_promote_at_once_one_wins_and_the_dead_are_mended(
    client: MlflowClient, tmp_path: Path
) -> None:
    """What `make chaos` does at length (`tests/race.py`)."""
    racers, rounds = 3, 4
    versions(client, tmp_path, racers)
    check_linear(client, race(client, tmp_path, racers, rounds, deaths=0.3), rounds)


@pytest.mark.needs("postgresql", "pg_ctlcluster")
@pytest.mark.timeout(280)
def test_the_same_on_a_server_with_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "server").mkdir()
    with postgres() as store, mlflow_server(store, tmp_path / "server") as url:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            monkeypatch.delenv(name, raising=False)
        client = connect(Workspace(tmp_path / ".lifecycle"), {"MLFLOW_TRACKING_URI": url})
        versions(client, tmp_path, 3)
        check_linear(client, race(client, tmp_path, 3, 4, deaths=0.2), 4)
        number = 1 if aliases(client)["champion"] != 1 else 2
        before = aliases(client)["champion"]
        move(client, tmp_path, number)
        back(client, tmp_path)
        assert aliases(client)["champion"] == before


def test_a_registry_that_may_only_be_read_is_said_and_left_as_it_was(
    client: MlflowClient, tmp_path: Path
) -> None:
    versions(client, tmp_path, 2)
    move(client, tmp_path, 1)
    store = client.tracking_uri.removeprefix("sqlite:///")
    uri = f"sqlite:///file:{store}?mode=ro&uri=true"
    reader = connect(Workspace(tmp_path / ".lifecycle"), {"MLFLOW_TRACKING_URI": uri})
    promotion = propose(reader, "models:/digits/2", tmp_path / "served")
    assert promotion.holds
    with pytest.raises(LifecycleError) as error:
        promote(reader, promotion)
    assert "did not take the change of digits@champion: " in error.value.message
    assert "attempt to write a readonly database" in error.value.message
    assert aliases(client) == {"champion": 1} and len(Ledger(client, "digits").read().entries) == 1


def test_a_registry_that_goes_away_is_said_at_every_step(
    client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    versions(client, tmp_path, 1)
    promotion = propose(client, "models:/digits/1", tmp_path / "served")
    away = MlflowClient("http://user:secret@127.0.0.1:9", "http://127.0.0.1:9")
    with pytest.raises(LifecycleError) as error:
        promote(away, promotion)
    text = str(error.value)
    assert "the registry at http://127.0.0.1:9 did not take the change of digits@champion" in text
    assert "`lifecycle history digits` shows whether it was written" in text and "secret" not in text
    with pytest.raises(LifecycleError, match="the registry does not answer for 'models:/digits/1'"):
        propose(away, "models:/digits/1", tmp_path / "served")
    assert aliases(client) == {}
