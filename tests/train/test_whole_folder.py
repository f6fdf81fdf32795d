"""Folders are there whole or not at all, and none of the user's is taken for one of ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lifecycle.train import whole_folder
from lifecycle.train.whole_file import INDEX, WholeFile, point, remove, sweep
from lifecycle.train.whole_folder import WholeFolder, duplicate_folder


def made(path: Path, text: str) -> Path:
    folder = WholeFolder(path)
    (folder.aside / INDEX).write_text(text)
    assert not path.is_dir() or (path / INDEX).read_text() != text  # not before it is kept
    folder.keep()
    return path


@pytest.mark.parametrize("exchanges", [True, False])
def test_it_takes_its_name_in_one_go_also_that_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    if not exchanges:  # a file system, or a system, that cannot
        monkeypatch.setattr(whole_folder, "_exchanged", lambda one, other: False)
    path = made(tmp_path / "a.ckpt", "first")
    made(path, "second")
    assert (path / INDEX).read_text() == "second"
    assert list(tmp_path.iterdir()) == [path]


def test_the_system_exchanges_two_names(tmp_path: Path) -> None:
    one, other = made(tmp_path / "one", "1"), made(tmp_path / "other", "2")
    assert whole_folder._exchanged(one, other)
    assert ((one / INDEX).read_text(), (other / INDEX).read_text()) == ("2", "1")


def test_a_folder_of_the_user_is_neither_replaced_nor_deleted(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").write_text("years of work")
    with pytest.raises(
        FileExistsError, match=r"data is a folder that holds something else than a checkpoint$"
    ):
        WholeFolder(tmp_path / "data")
    with pytest.raises(OSError):
        remove(tmp_path / "data")
    with pytest.raises(OSError), WholeFile(tmp_path / "data") as part:
        part.write(b"1")
    with pytest.raises(OSError):
        point(tmp_path / "data", tmp_path / "x")
    assert (tmp_path / "data" / "thesis.txt").read_text() == "years of work"


def test_a_file_takes_the_place_of_a_folder_and_the_other_way_round(tmp_path: Path) -> None:
    path = made(tmp_path / "last.ckpt", "parts")
    with WholeFile(path) as part:
        part.write(b"whole")
    assert path.read_bytes() == b"whole"
    made(path, "parts")
    assert (path / INDEX).read_text() == "parts"


def test_a_second_name_costs_no_space_and_a_link_is_deleted_alone(tmp_path: Path) -> None:
    path = made(tmp_path / "a.ckpt", "text")
    duplicate_folder(path, tmp_path / "b.ckpt")
    assert (tmp_path / "b.ckpt" / INDEX).stat().st_ino == (path / INDEX).stat().st_ino
    point(tmp_path / "last.ckpt", path)
    remove(tmp_path / "last.ckpt")
    remove(path)
    assert [each.name for each in tmp_path.iterdir()] == ["b.ckpt"]


def test_what_a_killed_process_left_is_swept_and_what_is_at_work_is_not(tmp_path: Path) -> None:
    left = tmp_path / ".old.ckpt.1.part"
    left.mkdir()
    (left / "shard-00000.pt").write_bytes(b"half")
    at_work = WholeFolder(tmp_path / "new.ckpt")
    for each in (left, at_work.aside):
        os.utime(each, (0, 0))
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [at_work.aside]
    with pytest.raises(BlockingIOError):
        WholeFolder(tmp_path / "new.ckpt")
    at_work.discard()
    assert list(tmp_path.iterdir()) == []
