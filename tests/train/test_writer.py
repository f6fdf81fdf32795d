from __future__ import annotations

import copy
import io
import logging
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from lifecycle.core.errors import UsageError
from lifecycle.train.writer import CheckpointWriter, copied, save_ckpt

ROOT = Path(__file__).parents[2]


class Held:
    """Something in a state whose writing takes until it is let go: what is in flight stays there."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go = threading.Event()

    def __reduce__(self) -> tuple[Any, ...]:
        self.reached.set()
        assert self.go.wait(60)
        return OrderedDict, ()


class Odd:
    """What could only be brought back by unpickling."""


def state(value: float = 1.0, size: int = 1000) -> dict[str, object]:
    return {"state_dict": {"weight": torch.full((size,), value), "steps": torch.tensor(3)}, "epoch": 2}


def value_of(path: Path) -> float:
    return float(torch.load(path, weights_only=True)["state_dict"]["weight"][-1])


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """What a full disk does, without one: writing beyond it is an `OSError`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("how", ["at once", "waiting", "beside"])
def test_a_file_has_the_same_bytes_however_it_is_written_and_named(tmp_path: Path, how: str) -> None:
    model = nn.Sequential(nn.Linear(30, 30), nn.BatchNorm1d(30), nn.Linear(30, 30))
    model[2].weight = model[0].weight
    content: dict[str, object] = {"state_dict": model.state_dict(), "note": ["a", 1, 2.5, None], "epoch": 1}
    for path in (tmp_path / "epoch=1.ckpt", tmp_path / "deeper" / "other.pt"):
        if how == "at once":
            save_ckpt(path, content)
        else:
            writer = CheckpointWriter()
            writer.save(path, content, wait=how == "waiting")
            writer.close()
        assert path.read_bytes() == saved(content)
        assert names(path.parent) in (["epoch=1.ckpt"], ["other.pt"])


def test_training_may_change_what_is_being_written(tmp_path: Path) -> None:
    held, content, writer = Held(), state(1.0), CheckpointWriter()
    content["held"] = held
    writer.save(tmp_path / "a.ckpt", content)
    content["state_dict"]["weight"].fill_(2.0)  # type: ignore[index]
    content["epoch"] = 3
    held.go.set()
    writer.wait()
    assert value_of(tmp_path / "a.ckpt") == 1.0
    assert torch.load(tmp_path / "a.ckpt", weights_only=True)["epoch"] == 2


def test_a_copy_that_the_caller_took_is_not_copied_again(tmp_path: Path) -> None:
    writer, taken = CheckpointWriter(), copied(state(1.0))
    taken["held"] = held = Held()
    writer.save(tmp_path / "a.ckpt", taken)
    assert held.reached.wait(60)
    taken["state_dict"]["weight"].fill_(2.0)  # type: ignore[index]
    held.go.set()
    writer.close()
    assert value_of(tmp_path / "a.ckpt") == 2.0


def test_a_file_appears_when_it_is_whole_and_the_older_ones_go_then(tmp_path: Path) -> None:
    writer = CheckpointWriter()
    old, new, link = tmp_path / "old.ckpt", tmp_path / "new.ckpt", tmp_path / "last.ckpt"
    writer.save(old, state(1.0), link=link, wait=True)
    held = Held()
    writer.also(new, tmp_path / "second.ckpt")
    writer.save(new, state(2.0) | {"held": held}, removes=[old, new, tmp_path / "gone.ckpt"], link=link)
    assert held.reached.wait(60)
    assert writer.writing(new)
    assert not new.exists()
    assert not (tmp_path / "second.ckpt").exists()
    assert old.exists()
    assert link.readlink() == Path("old.ckpt")
    held.go.set()
    writer.wait()
    assert not writer.writing(new)
    assert names(tmp_path) == ["last.ckpt", "new.ckpt", "second.ckpt"]
    assert link.readlink() == Path("new.ckpt")
    assert value_of(tmp_path / "second.ckpt") == value_of(link) == 2.0


def test_a_second_name_is_a_file_of_its_own(tmp_path: Path) -> None:
    """Of the same bytes, without writing them twice; replacing one leaves the other."""
    writer, best, last = CheckpointWriter(), tmp_path / "best.ckpt", tmp_path / "last.ckpt"
    for _ in range(2):  # the second time both names are there
        writer.also(best, last)
        writer.save(best, state(1.0), wait=True)
    assert best.samefile(last)
    writer.save(last, state(2.0), wait=True)
    assert (value_of(best), value_of(last)) == (1.0, 2.0)
    writer.save(best, state(3.0), removes=[last], wait=True)
    assert names(tmp_path) == ["best.ckpt"]


def test_at_most_one_is_in_flight(tmp_path: Path) -> None:
    writer, first, second = CheckpointWriter(), tmp_path / "first.ckpt", tmp_path / "second.ckpt"
    held = Held()
    writer.save(first, {"held": held})
    threading.Timer(0.1, held.go.set).start()
    writer.save(second, state())
    assert first.exists()
    assert not writer.writing(first)
    writer.close()


# Out of space


def test_without_space_training_goes_on_with_the_older_file_and_the_next_save_tries_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer, old, new = CheckpointWriter(), tmp_path / "old.ckpt", tmp_path / "new.ckpt"
    writer.save(old, state(1.0), wait=True)
    with no_file_larger_than(100_000):
        writer.save(new, state(2.0, size=1_000_000), removes=[old])
        with pytest.warns(UserWarning) as caught:
            writer.wait()
        assert writer.failed(new)
        writer.save(new, state(2.0, size=1_000_000), removes=[old])  # warned of once, logged twice
        writer.wait()
    text = (
        f"checkpoint {new} could not be written: [Errno 27] File too large. "
        f"Training goes on, and the next save tries again; {old} stays."
    )
    assert [str(warning.message) for warning in caught] == [text]
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == [text, text]
    assert names(tmp_path) == ["old.ckpt"]
    assert value_of(old) == 1.0
    writer.save(new, state(3.0, size=1_000_000), removes=[old])
    writer.close()
    assert not writer.failed(new)
    assert names(tmp_path) == ["new.ckpt"]
    assert value_of(new) == 3.0


def test_without_space_a_file_of_the_same_name_and_its_links_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer, path, link = CheckpointWriter(), tmp_path / "best.ckpt", tmp_path / "link.ckpt"
    writer.save(path, state(1.0), link=link, wait=True)
    writer.also(path, tmp_path / "last.ckpt")
    with no_file_larger_than(100_000):
        writer.save(path, state(2.0, size=1_000_000), link=tmp_path / "other.ckpt")
        with pytest.warns(UserWarning, match=r"best\.ckpt stays\.$"):
            writer.close()
    assert names(tmp_path) == ["best.ckpt", "link.ckpt"]
    assert value_of(link) == 1.0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_full_disk_is_survived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        writer, path = CheckpointWriter(), tmp_path / "last.ckpt"
        writer.save(path, state(1.0), wait=True)
        with pytest.warns(UserWarning, match="No space left on device"):
            for _ in range(3):
                writer.save(path, state(2.0, size=1_000_000))
            writer.close()
        assert names(tmp_path) == ["last.ckpt"]
        assert value_of(path) == 1.0
        writer.save(path, state(3.0))
        writer.close()
        assert value_of(path) == 3.0
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_where_no_folder_can_be_made_training_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    writer = CheckpointWriter()
    writer.save(tmp_path / "file" / "a.ckpt", state())
    with pytest.warns(UserWarning, match=r"file/a\.ckpt could not be written: .*; there is no older one\.$"):
        writer.close()
    assert writer.failed(tmp_path / "file" / "a.ckpt")


def test_who_waits_for_a_file_is_told_that_it_cannot_be_written(tmp_path: Path) -> None:
    writer, path = CheckpointWriter(), tmp_path / "a.ckpt"
    for save in (
        lambda: writer.save(path, state(size=1_000_000), wait=True),
        lambda: save_ckpt(path, state()),
    ):
        with no_file_larger_than(100), pytest.raises(OSError, match="File too large"):
            save()
        assert names(tmp_path) == []


def test_a_link_that_cannot_be_made_is_reported_and_the_checkpoint_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer, path = CheckpointWriter(), tmp_path / "a.ckpt"
    (tmp_path / "folder").mkdir()
    writer.save(path, state(), link=tmp_path / "folder")
    with pytest.warns(UserWarning, match=r"a\.ckpt is whole, but not all that follows was done: "):
        writer.close()
    assert not writer.failed(path)
    assert value_of(path) == 1.0


# Mistakes of the user


@pytest.mark.parametrize(
    ("value", "named"),
    [(Odd(), "test_writer.Odd"), (lambda: 1, "lambda"), (timedelta(1), "datetime.timedelta")],
)
def test_what_could_not_be_read_back_is_refused(tmp_path: Path, value: object, named: str) -> None:
    writer, path = CheckpointWriter(), tmp_path / "a.ckpt"
    for next_call in (writer.wait, lambda: writer.save(tmp_path / "b.ckpt", state())):
        writer.save(path, {"odd": value})
        with pytest.raises(UsageError) as caught:
            next_call()
        assert caught.value.message.startswith("a.ckpt ")
        assert named in caught.value.message
        assert "save_hyperparameters(ignore=...)" in caught.value.hint
        writer.wait()  # it is raised once
        assert writer.failed(path)
    for now in (
        lambda: writer.save(path, {"odd": value}, wait=True),
        lambda: save_ckpt(path, {"odd": value}),
    ):
        with pytest.raises(UsageError, match=named):
            now()
    assert names(tmp_path) == []


# Interrupts, forks, exits


def test_an_interrupt_passes_through_a_wait_and_the_file_is_finished(tmp_path: Path) -> None:
    writer, held, path = CheckpointWriter(), Held(), tmp_path / "a.ckpt"
    writer.save(path, state(5.0) | {"held": held})
    assert held.reached.wait(60)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
            writer.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    assert writer.writing(path)
    assert not path.exists()
    held.go.set()
    writer.wait()
    assert value_of(path) == 5.0


def test_an_interrupt_while_it_writes_here_and_now_leaves_the_older_file(tmp_path: Path) -> None:
    class Interrupting:
        def __reduce__(self) -> tuple[Any, ...]:
            raise KeyboardInterrupt

    writer, path = CheckpointWriter(), tmp_path / "a.ckpt"
    writer.save(path, state(1.0), wait=True)
    with pytest.raises(KeyboardInterrupt):
        writer.save(path, state(2.0) | {"odd": Interrupting()}, wait=True)
    assert names(tmp_path) == ["a.ckpt"]
    assert value_of(path) == 1.0


def test_an_interrupt_within_a_write_stays_an_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def write(handle: int, data: memoryview) -> int:
        calls.append(len(data))
        if len(calls) == 20:
            raise KeyboardInterrupt
        return len(data)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "write", write)
        CheckpointWriter().save(tmp_path / "a.ckpt", state(), wait=True)
    assert len(calls) == 20
    assert names(tmp_path) == []


def test_workers_that_start_meanwhile_neither_wait_nor_write(tmp_path: Path) -> None:
    writer, held, path = CheckpointWriter(), Held(), tmp_path / "a.ckpt"

    class Waiting(torch.utils.data.Dataset[int]):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> int:
            assert not writer.writing(path)
            writer.wait()
            logging.getLogger("lifecycle").warning("from a worker")
            return index

    writer.save(path, state(5.0, size=100_000) | {"held": held})
    assert held.reached.wait(60)
    batches = list(DataLoader(Waiting(), num_workers=2, timeout=60))
    assert len(batches) == 4
    assert writer.writing(path)
    held.go.set()
    writer.close()
    assert value_of(path) == 5.0


SCRIPT = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from lifecycle.train.writer import CheckpointWriter
folder = Path(sys.argv[1])
def state(step, size):
    return {"step": step, "state_dict": {f"w{i}": torch.full((size,), float(step)) for i in range(10)}}
"""


def run(body: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT + body, str(folder)]
    return subprocess.run(command, cwd=ROOT, env=environment, timeout=200, capture_output=True, text=True)


@pytest.mark.parametrize(("end", "code"), [("", 0), ("raise RuntimeError('boom')", 1), ("sys.exit(3)", 3)])
def test_what_is_in_flight_when_the_interpreter_exits_is_finished(
    tmp_path: Path, end: str, code: int
) -> None:
    done = run(f"CheckpointWriter().save(folder / 'a.ckpt', state(7, 500_000))\n{end}", tmp_path)
    assert (done.returncode, names(tmp_path)) == (code, ["a.ckpt"]), done.stderr
    assert torch.load(tmp_path / "a.ckpt", weights_only=True)["step"] == 7


KILLS = 25
KILLING = f"""
def work():
    writer, before = CheckpointWriter(), None
    for step in range(10**6):
        path = folder / f"step={{step}}.ckpt"
        writer.also(path, folder / "last.ckpt")
        writer.save(path, state(step, 10_000), removes=[before] if before else [], link=folder / "link.ckpt")
        before = path

random.seed(0)
for _ in range({KILLS}):
    child = os.fork()
    if child == 0:
        work()
    while not (folder / "link.ckpt").is_symlink():  # the first file is not there yet
        time.sleep(0.001)
    time.sleep(random.uniform(0.02, 0.12))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = [path for path in folder.iterdir() if path.suffix == ".ckpt"]
    assert folder / "last.ckpt" in found and folder / "link.ckpt" in found, found
    for path in found:
        content = torch.load(path, weights_only=True)
        assert all(float(w[-1]) == content["step"] for w in content["state_dict"].values())
"""


def test_killed_at_any_instant_it_leaves_only_whole_files_under_their_names(tmp_path: Path) -> None:
    done = run(KILLING, tmp_path)
    assert done.returncode == 0, done.stderr
    parts = [path for path in tmp_path.iterdir() if path.name.endswith(".part")]
    assert parts  # it was killed while it wrote, more than once
    for part in parts:
        if not part.is_symlink():
            os.utime(part, (0, 0))
    CheckpointWriter().save(tmp_path / "new.ckpt", state(), wait=True)
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part") and not path.is_symlink()]


def test_copies_of_a_writer_begin_with_nothing_in_flight(tmp_path: Path) -> None:
    writer, held = CheckpointWriter(), Held()
    writer.save(tmp_path / "a.ckpt", {"held": held})
    for other in (copy.deepcopy(writer), pickle.loads(pickle.dumps(writer))):
        assert not other.writing(tmp_path / "a.ckpt")
        other.close()
    held.go.set()
    writer.close()
