from __future__ import annotations

import json

import pytest

from lifecycle.cli.output import print_error, print_json, print_note, print_table, print_text


def test_data_goes_to_standard_output_and_the_rest_to_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_text("data")
    print_note("note")
    print_error("wrong")
    assert capsys.readouterr() == ("data\n", "note\nerror: wrong\n")


def test_json_is_json_whatever_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"loss": float("nan"), "label": "größer", "rows": [1.5]})
    out = capsys.readouterr().out
    assert json.loads(out) == {"loss": None, "label": "größer", "rows": [1.5]}
    assert "größer" in out


def test_a_table_cuts_nothing_and_takes_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    digest = "0123456789ab" * 4
    print_table("Stages [x]", ("stage", "digest"), [("train", digest), ("[red]", "short")])
    out = capsys.readouterr().out
    lines = [line.rstrip() for line in out.splitlines() if line.strip()]
    assert lines[0] == "Stages [x]"
    assert digest in out
    assert "[red]" in out
    assert lines[-1].endswith("short")
    assert len(lines[-1]) == len(lines[-2])  # numbers are aligned to the right
