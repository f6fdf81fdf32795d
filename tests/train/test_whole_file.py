from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lifecycle.train.whole_file import WholeFile, duplicate, point, sweep


def write(path: Path, data: bytes) -> None:
    with WholeFile(path) as file:
        file.write(data)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.ckpt"
    write(path, b"old")
    with WholeFile(path) as file:
        file.write(b"ne")
        assert path.read_bytes() == b"old"
        assert names(path.parent) == [f".a.ckpt.{os.getpid()}.part", "a.ckpt"]
        file.write(b"w")
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["a.ckpt"]


def test_what_fails_leaves_nothing_but_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    write(path, b"old")
    with pytest.raises(ZeroDivisionError), WholeFile(path) as file:
        file.write(b"new")
        raise ZeroDivisionError
    with pytest.raises(IsADirectoryError), WholeFile(tmp_path / "folder") as file:
        (tmp_path / "folder").mkdir()
    assert names(tmp_path) == ["a.ckpt", "folder"]
    assert path.read_bytes() == b"old"


def test_two_at_work_on_the_same_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    with WholeFile(path) as file:
        file.write(b"first")
        with pytest.raises(BlockingIOError):
            WholeFile(path)
    assert path.read_bytes() == b"first"


def test_what_a_killed_process_of_the_same_number_left_never_touches_a_whole_file(tmp_path: Path) -> None:
    """In a container every run may have the same number; a part may be a link that was never renamed."""
    best, last = tmp_path / "best.ckpt", tmp_path / "last.ckpt"
    part = tmp_path / f".last.ckpt.{os.getpid()}.part"
    write(best, b"best")
    for leave in (
        lambda: part.hardlink_to(best),
        lambda: part.symlink_to(best),
        lambda: part.write_bytes(b"torn"),
    ):
        for make in (lambda: write(last, b"last"), lambda: duplicate(best, last), lambda: point(last, best)):
            leave()
            make()
            assert best.read_bytes() == b"best"
            assert last.read_bytes() in (b"last", b"best")
            assert names(tmp_path) == ["best.ckpt", "last.ckpt"]


def test_a_second_name_is_another_file_of_the_same_bytes(tmp_path: Path) -> None:
    best, last = tmp_path / "best.ckpt", tmp_path / "last.ckpt"
    write(best, b"one")
    write(last, b"none")
    for _ in range(2):
        duplicate(best, last)
        assert best.samefile(last)
        assert names(tmp_path) == ["best.ckpt", "last.ckpt"]
    write(best, b"two")
    assert last.read_bytes() == b"one"


def test_where_there_are_no_hard_links_it_is_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise PermissionError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    write(tmp_path / "best.ckpt", b"one")
    duplicate(tmp_path / "best.ckpt", tmp_path / "last.ckpt")
    assert not (tmp_path / "best.ckpt").samefile(tmp_path / "last.ckpt")
    assert (tmp_path / "last.ckpt").read_bytes() == b"one"
    assert names(tmp_path) == ["best.ckpt", "last.ckpt"]


def test_a_link_is_relative_and_takes_the_place_of_a_file_or_a_link(tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "last.ckpt"
    link.write_bytes(b"a file")
    for name in ("a.ckpt", "b.ckpt"):
        point(link, tmp_path / "deep" / name)
        assert link.readlink() == Path("../deep") / name
    assert names(tmp_path / "links") == ["last.ckpt"]


def test_old_parts_that_nobody_is_at_work_on_are_swept_away(tmp_path: Path) -> None:
    with WholeFile(tmp_path / "held.ckpt") as file:
        for name in (".gone.ckpt.1.part", ".new.ckpt.1.part", ".hidden", "a.part", "b.ckpt"):
            (tmp_path / name).write_bytes(b"torn")
        (tmp_path / ".link.ckpt.1.part").symlink_to("nowhere")
        for path in tmp_path.iterdir():
            if path.name != ".new.ckpt.1.part":
                os.utime(path, (0, 0), follow_symlinks=False)
        sweep(tmp_path)
        assert names(tmp_path) == sorted([".hidden", ".new.ckpt.1.part", "a.part", "b.ckpt", file.aside.name])
