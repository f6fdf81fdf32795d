"""``lifecycle predict`` and what it stands on, against a running endpoint."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import CommandLine
from tests.serve.pictures import encoded
from tests.serve.predict.test_predictions import PIXELS, SHADES, TURNED
from tests.serve.servers import Server


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    rows = np.stack([PIXELS, TURNED])
    (tmp_path / "rows.json").write_text(json.dumps(rows.tolist()))
    (tmp_path / "wrapped.json").write_text(json.dumps({"rows": rows.tolist()}))
    np.save(tmp_path / "rows.npy", rows)
    (tmp_path / "a.png").write_bytes(encoded(SHADES))
    (tmp_path / 'b, "ü".bmp').write_bytes(encoded(SHADES.T[::-1].copy(), "BMP"))
    return CommandLine(tmp_path, capsys)


def test_every_kind_of_file_gives_the_same_answer(line: CommandLine, server: Server) -> None:
    kinds = (["rows.json"], ["wrapped.json"], ["rows.npy"], ["a.png", 'b, "ü".bmp'])
    answers = []
    for files in kinds:
        ended = line("predict", server.url(), *files, "--json")
        assert (ended.code, ended.err) == (0, "")
        answers.append(json.loads(ended.out)["predictions"])
    assert len(answers[0]) == 2
    assert answers.count(answers[0]) == len(kinds)


def test_people_get_a_table(line: CommandLine, server: Server) -> None:
    ended = line("predict", server.url() + "/", "a.png", 'b, "ü".bmp')
    assert ended.code == 0
    answer = json.loads(line("predict", server.url(), "rows.json", "--json").out)
    for name, found in zip(("a.png", 'b, "ü".bmp'), answer["predictions"], strict=True):
        (shown,) = (text for text in ended.out.splitlines() if name in text)
        assert shown.split()[-3:] == [found["label"], *f"{100 * found['probability']:.1f} %".split()]
    assert re.match(r"digits version 3, [\d.]+ ms\n", ended.out)


def test_without_labels_every_output_is_shown(line: CommandLine, several: Server) -> None:
    line.write("pair.json", "[[1, 10], [0, 1]]")
    ended = line("predict", several.url(), "pair.json", "--model", "logarithm")
    assert ended.code == 0
    assert "[0.0, 2.302585" in ended.out
    assert "[null, 0.0]" in ended.out


def test_what_the_endpoint_says_is_passed_on(line: CommandLine, server: Server, several: Server) -> None:
    line.write("short.json", "[[1, 2]]")
    ended = line("predict", server.url(), "short.json")
    assert (ended.code, ended.out) == (2, "")
    assert "answered 400: rows[0]: expected 64 values for shape [1, 8, 8], got 2 (request " in ended.err
    ended = line("predict", several.url(), "a.png")
    assert "name one: /v2/models/NAME/infer or /predict?model=NAME" in ended.err
    ended = line("predict", server.url() + "/v2", "a.png")
    assert (ended.code, "answered 404: no route /v2/predict" in ended.err) == (2, True)
