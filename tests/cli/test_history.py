"""Promote, rollback, history and status, as somebody types them."""

from __future__ import annotations

import json
from pathlib import Path

from mlflow import MlflowClient

from tests.cli.commands import CommandLine
from tests.versions import registered


def test_the_story_of_a_champion(client: MlflowClient, tmp_path: Path, lifecycle: CommandLine) -> None:
    assert "No model is registered yet" in lifecycle("status").out
    registered(client, tmp_path / "a")
    registered(client, tmp_path / "b", label="zero")
    assert lifecycle("history", "digits").out == "digits was never promoted to champion.\n"
    dry = lifecycle("promote", "digits", "1", "--dry-run")
    assert (dry.code, "digits@champion would be version 1; nothing was moved." in dry.out) == (0, True)
    assert lifecycle("promote", "digits", "1", "--reason", "first").code == 0
    done = lifecycle("promote", "digits")
    assert (done.code, "digits@champion is version 2, before it was version 1." in done.out) == (0, True)
    assert "digits@champion is version 2 already." in lifecycle("promote", "digits", "2").out
    found = json.loads(lifecycle("rollback", "digits", "--reason", "too slow", "--json").out)
    assert (found["version"], found["before"], found["moved"]) == (1, 2, True)
    table = lifecycle("history", "digits").out
    for text in ("first", "too slow", "promotion", "rollback"):
        assert text in table
    entries = json.loads(lifecycle("history", "digits", "--json").out)
    assert [(entry["before"], entry["version"]) for entry in entries] == [(None, 1), (1, 2), (2, 1)]
    at = entries[1]["at"]
    assert "digits@champion was version 2, since " in lifecycle("history", "digits", "--at", at).out
    status = json.loads(lifecycle("status", "--json").out)
    assert [
        (row["model"], row["versions"], row["champion"], row["challenger"], row["previous"]) for row in status
    ] == [("digits", 2, 1, 2, None)]


def test_a_refusal_of_a_dry_run_is_a_refusal(
    client: MlflowClient, tmp_path: Path, lifecycle: CommandLine
) -> None:
    registered(client, tmp_path / "a", test_acc=0.5)
    done = lifecycle("promote", "digits", "--dry-run")
    assert done.code == 3 and "would not be promoted" in done.err
    forced = lifecycle("promote", "digits", "--force")
    assert forced.code == 2 and "add --reason TEXT" in forced.err
    forced = lifecycle("promote", "digits", "--force", "--reason", "demo")
    assert forced.code == 0 and "Gates that refused were overruled." in forced.out
    assert "promotion, forced" in lifecycle("history", "digits").out


def test_an_alias_that_others_moved_is_shown_and_mended(
    client: MlflowClient, tmp_path: Path, lifecycle: CommandLine
) -> None:
    registered(client, tmp_path / "a")
    registered(client, tmp_path / "b", label="zero")
    lifecycle("promote", "digits", "2")
    client.set_registered_model_alias("digits", "champion", "1")
    for words in (("status",), ("history", "digits")):
        done = lifecycle(*words)
        assert "digits@champion does not lead to version 2, where it was promoted to" in done.err
    assert lifecycle("history", "digits", "--repair").err == ""
    assert json.loads(lifecycle("status", "digits", "--json").out)[0]["champion"] == 2


def test_wrong_words_are_answered_with_right_ones(
    client: MlflowClient, tmp_path: Path, lifecycle: CommandLine
) -> None:
    registered(client, tmp_path / "a")
    for words, message in (
        (("history", "digit"), "no registered model 'digit': did you mean 'digits'?"),
        (("status", "digit"), "no registered model 'digit': did you mean 'digits'?"),
        (("rollback", "digit"), "no registered model 'digit': did you mean 'digits'? Allowed: digits"),
        (("rollback", "digits"), "aliases: @challenger → 1; versions: 1"),
        (("promote", "digits", "7"), "aliases: @challenger → 1; versions: 1"),
        (("promote", "digits", "--to", "latest"), "alias 'latest' is reserved"),
        (("promote", "digits", "--to", "previous"), "alias 'previous' is reserved"),
        (("history", "digits", "--at", "yesterday"), "expected a time such as 2026-11-01"),
        (("history", "digits", "--at", "2020-01-01"), "digits had no champion at 2020-01-01"),
    ):
        done = lifecycle(*words)
        assert (done.code, message in done.err) == (2, True), (words, done.err)
    assert set(client.get_registered_model("digits").aliases) == {"challenger"}


def test_what_two_versions_differ_in(client: MlflowClient, tmp_path: Path, lifecycle: CommandLine) -> None:
    registered(client, tmp_path / "a")
    registered(client, tmp_path / "b", test_acc=0.97, data="digits-2", label="zero")
    found = {
        row["name"]: row for row in json.loads(lifecycle("diff", "digits", "1", "@challenger", "--json").out)
    }
    assert found["test_acc"] == {
        "section": "metrics",
        "name": "test_acc",
        "before": "0.98",
        "after": "0.97",
        "change": "-0.01",
    }
    assert (found["fingerprint"]["before"], found["fingerprint"]["after"]) == ("digits-1", "digits-2")
    assert found["digest"]["section"] == "file" and "latency_ms" not in found
    table = lifecycle("diff", "digits", "1", "2").out
    assert "version 1" in table and "-0.01" in table
    assert "do not differ in anything that is known" in lifecycle("diff", "digits", "2", "2").out
