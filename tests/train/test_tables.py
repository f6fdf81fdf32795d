from __future__ import annotations

import pytest

from lifecycle.train.tables import show_metrics
from tests.train.course import Course, numbered
from tests.train.small import Plain, loader, quiet


def cells(text: str) -> list[list[str]]:
    """The words of a table's rows, its frame left out."""
    rows = []
    for line in text.splitlines():
        words = [word for word in line.replace("┃", "│").split("│") if word.strip()]
        if len(words) > 1:
            rows.append([word.strip() for word in words])
    return rows


def test_a_row_for_each_name(capsys: pytest.CaptureFixture[str]) -> None:
    show_metrics([{"val_loss": 0.123456789, "val_acc": 1.0}], "validation")
    assert cells(capsys.readouterr().out) == [
        ["Validation metric", "Value"],
        ["val_loss", "0.123457"],
        ["val_acc", "1"],
    ]


def test_a_column_for_each_loader(capsys: pytest.CaptureFixture[str]) -> None:
    show_metrics([{"a": 1.0, "both": 2.0}, {"b": 3.0, "both": 2.5}], "test")
    lines = capsys.readouterr().out.splitlines()
    header = next(line for line in lines if "Test metric" in line)
    assert header.index("Loader 0") < header.index("Loader 1")
    rows = {
        line.split("│")[1].strip(): [c.strip() for c in line.split("│")[2:4]] for line in lines if "│" in line
    }
    assert rows == {"a": ["1", ""], "both": ["2", "2.5"], "b": ["", "3"]}


def test_nothing_is_shown_when_nothing_was_logged_or_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    quiet().test(Course(), numbered(1))
    quiet().test(Plain(), loader(), verbose=False)
    assert capsys.readouterr().out == ""
    quiet().test(Plain(), loader())
    assert "test_loss" in capsys.readouterr().out
