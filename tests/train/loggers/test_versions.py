from __future__ import annotations

import multiprocessing
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from lifecycle.train.loggers.versions import claim_version


def test_versions_follow_the_highest_that_is_there(tmp_path: Path) -> None:
    assert [claim_version(tmp_path / "new"), claim_version(tmp_path / "new")] == [0, 1]
    for name in ("version_7", "version_3", "version_x", "version_", "other", "version_9.bak"):
        (tmp_path / "old" / name).mkdir(parents=True)
    assert claim_version(tmp_path / "old") == 8
    assert (tmp_path / "old" / "version_8").is_dir()


def claim_many(together: Barrier, folder: Path, found: Queue[list[int]]) -> None:
    together.wait(timeout=60)
    found.put([claim_version(folder) for _ in range(20)])


def test_no_two_processes_get_the_same(tmp_path: Path) -> None:
    processes = multiprocessing.get_context("fork")
    together, found = processes.Barrier(4), processes.Queue()
    running = [processes.Process(target=claim_many, args=(together, tmp_path, found)) for _ in range(4)]
    for process in running:
        process.start()
    claimed = [number for _ in running for number in found.get(timeout=60)]
    for process in running:
        process.join()
    assert sorted(claimed) == list(range(80))
