from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest

from lifecycle.cli.predict import read_rows
from tests.cli.commands import CommandLine


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_rows_are_read_from_json_and_arrays(tmp_path: Path) -> None:
    rows = [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    (tmp_path / "rows.json").write_text(str(rows))
    np.save(tmp_path / "rows.npy", np.array(rows, dtype="uint8"))
    assert read_rows(tmp_path / "rows.json") == read_rows(tmp_path / "rows.npy") == rows


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.json", b"[1, 2", "error: rows.json holds no rows: "),
        ("rows.npy", b"no array", "error: rows.npy holds no rows: "),
        ("missing.json", None, "error: no file missing.json\n"),
    ],
)
def test_a_file_without_rows_is_refused(
    lifecycle: CommandLine, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (lifecycle.folder / name).write_bytes(content)
    ended = lifecycle("predict", "http://127.0.0.1:1", name)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(message)


def test_an_array_of_objects_is_not_unpickled(lifecycle: CommandLine) -> None:
    np.save(lifecycle.folder / "rows.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    ended = lifecycle("predict", "http://127.0.0.1:1", "rows.npy")
    assert ended.code == 2
    assert "rows.npy holds no rows: Object arrays cannot be loaded" in ended.err


def test_an_endpoint_that_is_not_there_is_told_with_what_starts_it(lifecycle: CommandLine) -> None:
    lifecycle.write("rows.json", "[1]")
    ended = lifecycle("predict", f"http://127.0.0.1:{free_port()}", "rows.json")
    assert (ended.code, ended.out) == (1, "")
    assert "/predict cannot be reached: " in ended.err
    assert ended.err.endswith("\nStart it with: lifecycle serve models:/NAME@champion\n")


def test_an_address_that_is_none_is_wrong_usage(lifecycle: CommandLine) -> None:
    lifecycle.write("rows.json", "[1]")
    ended = lifecycle("predict", "localhost", "rows.json")
    assert ended.code == 2
    assert "Traceback" not in ended.err
