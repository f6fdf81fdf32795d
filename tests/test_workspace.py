from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.workspace import Workspace, find_workspace

ROOT = Path(__file__).parents[1]
HOLD = """\
import sys, time; from pathlib import Path
from lifecycle.workspace import Workspace
with Workspace(Path(sys.argv[1])).locked():
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def held_by_another(workspace: Workspace) -> Iterator[subprocess.Popen[str]]:
    """Another process holds the workspace; it is killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(workspace.path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / ".lifecycle")


def test_a_second_run_is_refused_with_the_process_that_holds_it(workspace: Workspace) -> None:
    with held_by_another(workspace) as holder:
        with pytest.raises(LifecycleError) as caught, workspace.locked():
            raise AssertionError("two runs hold one workspace")
        message = rf"^another run works in .*/.lifecycle: process {holder.pid}, since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$"
        assert caught.match(message.removesuffix("$"))
        assert (
            caught.value.hint == "Wait until it has ended (--wait does), or stop it; its lock goes with it."
        )


def test_a_run_waits_for_another_when_asked_to(workspace: Workspace) -> None:
    told: list[str] = []
    with held_by_another(workspace) as holder:

        def tell(text: str) -> None:
            told.append(text)
            holder.kill()

        with workspace.locked(60, tell):
            assert str(os.getpid()) in (workspace.path / "lock.json").read_text()
    assert len(told) == 1
    assert told[0].startswith(f"another run works in {workspace.path}: process {holder.pid}, since 20")
    assert told[0].endswith(": waiting for it to end")


def test_a_wait_comes_to_an_end(workspace: Workspace) -> None:
    with (
        held_by_another(workspace) as holder,
        pytest.raises(LifecycleError, match=f"process {holder.pid}"),
        workspace.locked(0.1, print),
    ):
        raise AssertionError("two runs hold one workspace")


def test_being_refused_does_not_free_what_another_holds(workspace: Workspace) -> None:
    with held_by_another(workspace):
        for _ in range(2):
            with pytest.raises(LifecycleError), workspace.locked():
                pass


def test_the_lock_of_a_dead_process_is_taken_over(workspace: Workspace) -> None:
    with held_by_another(workspace) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert (workspace.path / "lock.json").is_file()
        with workspace.locked():
            assert str(os.getpid()) in (workspace.path / "lock.json").read_text()


def test_a_lock_is_let_go_whatever_happens(workspace: Workspace) -> None:
    with pytest.raises(KeyboardInterrupt), workspace.locked():
        raise KeyboardInterrupt
    assert not (workspace.path / "lock.json").exists()
    with workspace.locked():
        pass


def test_whoever_holds_the_workspace_sweeps_drafts_and_nothing_else(workspace: Workspace) -> None:
    folder = workspace.cache / "train"
    for name in (".key.4711.draft", ".key.work", "key"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text("x")
    asides = [
        workspace.path / ".journal.jsonl.4711",
        workspace.path / "tracking" / "embedded" / ".a.mark.4711",
    ]
    for aside in asides:
        aside.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text("half")
    with workspace.locked():
        assert sorted(path.name for path in folder.iterdir()) == [".key.work", "key"]
        assert not [aside for aside in asides if aside.exists()]


def test_a_workspace_keeps_its_identity(workspace: Workspace, tmp_path: Path) -> None:
    identity = workspace.identity
    assert Workspace(workspace.path).identity == identity
    assert Workspace(tmp_path / "other").identity != identity


def test_the_workspace_here_or_above_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project" / ".lifecycle").mkdir(parents=True)
    (tmp_path / "project" / "below" / "deep").mkdir(parents=True)
    for folder in (tmp_path / "project", tmp_path / "project" / "below" / "deep"):
        monkeypatch.chdir(folder)
        assert find_workspace(None) == Workspace(tmp_path / "project" / ".lifecycle")


def test_the_workspace_that_is_named_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("here/.lifecycle", "there"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert find_workspace(Path("../there")) == Workspace(tmp_path / "there")


def test_a_missing_workspace_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UsageError, match=rf"^no workspace: neither {tmp_path} nor a folder above it has a .lifecycle/"
    ):
        find_workspace(None)
    with pytest.raises(UsageError, match=r"^no workspace nowhere\n`lifecycle run FILE` makes one"):
        find_workspace(Path("nowhere"))
    (tmp_path / "project" / ".lifecycle").mkdir(parents=True)
    with pytest.raises(
        UsageError, match=r"^project is the folder of a project.*\nWrite --workspace project/.lifecycle$"
    ):
        find_workspace(Path("project"))
