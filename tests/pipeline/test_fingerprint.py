from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lifecycle.core.errors import NoFingerprintError
from lifecycle.core.reference import Reference
from lifecycle.core.stage import Project
from lifecycle.pipeline.fingerprint import changed_files, find_fingerprint, kept_fingerprint
from lifecycle.pipeline.journal import Journal
from lifecycle.pipeline.observe import observing


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "model.py").write_text("class Net: pass\n")
    (tmp_path / "data.py").write_text("class Data:\n    def __init__(self, path=''): pass\n")
    (tmp_path / "images").mkdir()
    for name in ("table.csv", "images/a", "images/b"):
        (tmp_path / name).write_text(name)
    return Project(name="p", root=tmp_path, model=Reference("model.py:Net"), data=Reference("data.py:Data"))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / ".lifecycle" / "journal.jsonl")


def compute(project: Project) -> str:
    """Reads a file and a folder, as a DataModule would."""
    names = sorted(os.listdir(project.root / "images"))
    return (project.root / "table.csv").read_text() + "".join(
        (project.root / "images" / name).read_text() for name in names
    )


def find(project: Project, journal: Journal) -> str | None:
    return find_fingerprint(project, journal, lambda: compute(project), print)


def touch(path: Path) -> None:
    """As an edit does, however coarse the file system's clock is."""
    about = path.stat()
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns + 10**9))


def test_it_is_kept_while_nothing_that_it_was_made_from_changes(project: Project, journal: Journal) -> None:
    assert kept_fingerprint(project, journal) is None
    found = find(project, journal)
    assert found == "table.csvimages/aimages/b"
    again = Journal(journal.path)
    assert kept_fingerprint(project, again) == found
    assert find_fingerprint(project, again, lambda: pytest.fail("computed again"), print) == found


@pytest.mark.parametrize("name", ["table.csv", "images/a"])
def test_a_file_that_was_read_is_watched(project: Project, journal: Journal, name: str) -> None:
    find(project, journal)
    touch(project.root / name)
    assert kept_fingerprint(project, journal) is None
    assert changed_files(project, journal) == [name.partition("/")[0]]
    assert find(project, journal) == "table.csvimages/aimages/b", "the time alone makes no other data"
    assert changed_files(project, journal) == []


def test_a_file_that_comes_into_a_folder_that_was_listed_is_seen(project: Project, journal: Journal) -> None:
    find(project, journal)
    (project.root / "images" / "c").write_text("c")
    assert kept_fingerprint(project, journal) is None
    assert find(project, journal) == "table.csvimages/aimages/bc"


def test_a_file_that_an_argument_names_is_watched_though_nobody_saw_it_read(
    project: Project, journal: Journal
) -> None:
    named = Project(
        name="p", root=project.root, model=project.model, data=project.data, data_args={"path": "table.csv"}
    )
    assert find_fingerprint(named, journal, lambda: "fixed", print) == "fixed"
    assert kept_fingerprint(named, journal) == "fixed"
    touch(project.root / "table.csv")
    assert kept_fingerprint(named, journal) is None


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("class Data:\n    '''Words.'''\n    def __init__(self, path=''): pass\n", True),
        ("class Data:\n    def __init__(self, path='x'): pass\n", False),
    ],
)
def test_the_code_that_makes_the_data_counts_and_words_about_it_do_not(
    project: Project, journal: Journal, text: str, same: bool
) -> None:
    find(project, journal)
    (project.root / "data.py").write_text(text)
    assert (kept_fingerprint(project, journal) is not None) is same


def test_data_that_cannot_be_told_from_other_data_is_said_and_not_kept(
    project: Project, journal: Journal
) -> None:
    def unreadable() -> str:
        raise NoFingerprintError("a Graph in a batch has no content to tell data apart by")

    told: list[str] = []
    assert find_fingerprint(project, journal, unreadable, told.append) is None
    assert told == ["data: not cached: a Graph in a batch has no content to tell data apart by"]
    assert kept_fingerprint(project, journal) is None


def test_data_from_another_machine_is_not_kept(project: Project, journal: Journal) -> None:
    def over_the_network() -> str:
        with socket.socket() as reader:
            reader.settimeout(1)
            reader.connect_ex(("127.0.0.1", 9))
        return "data"

    told: list[str] = []
    assert find_fingerprint(project, journal, over_the_network, told.append) == "data"
    assert told == ["data: read from another machine: it is fingerprinted in every run"]
    assert kept_fingerprint(project, journal) is None


def test_what_is_written_or_read_elsewhere_is_not_observed(tmp_path: Path) -> None:
    (tmp_path / "read").write_text("x")
    with observing() as seen:
        (tmp_path / "written").write_text("x")
        (tmp_path / "read").read_text()
    (tmp_path / "written").read_text()
    assert {Path(name).name for name in seen.files} == {"read"}


def test_data_whose_arguments_come_from_the_environment_is_not_kept(
    project: Project, journal: Journal
) -> None:
    named = Project(
        name="p", root=project.root, model=project.model, data=project.data, data_args={"path": "${env:DATA}"}
    )
    told: list[str] = []
    assert find_fingerprint(named, journal, lambda: "data", told.append) == "data"
    assert told == ["data: its arguments come from the environment: it is fingerprinted in every run"]
    assert kept_fingerprint(named, journal) is None
