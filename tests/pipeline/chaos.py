"""Kills a whole pipeline at random instants and in the middle of writes, and compares what comes out.

``python -m tests.pipeline.chaos --kills 50`` does so at length (``make chaos``); the suite does it a few times.
A kill is SIGKILL at a random time, SIGTERM or SIGINT at one, or SIGKILL before, after or halfway through the
n-th call of something that writes: a rename, a sync, a write to a journal, a request to MLflow.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.pipeline.tiny import tiny_project

CLIENT = (
    "create_experiment",
    "create_logged_model",
    "create_model_version",
    "create_registered_model",
    "create_run",
    "finalize_logged_model",
    "log_artifacts",
    "log_batch",
    "log_model_artifacts",
    "set_registered_model_alias",
    "set_terminated",
)
FILES = ("fsync", "rename", "replace", "write")
DEADLINE_S = 300.0


@dataclass(frozen=True)
class Kill:
    """How one run is to end.

    Attributes:
        signal: What is sent, after `after_s`; or SIGKILL, sent by the process to itself at a `point`.
        point: A function that writes; empty for a time.
        call: Which call of it.
        when: ``before``, ``after``, or ``halfway``, which leaves half of a write.
        after_s: Seconds.
    """

    signal: int = signal.SIGKILL
    point: str = ""
    call: int = 0
    when: str = "before"
    after_s: float = 0.0

    def __str__(self) -> str:
        name = signal.Signals(self.signal).name
        return (
            f"{name} {self.when} {self.point} {self.call}"
            if self.point
            else f"{name} at {self.after_s:.2f} s"
        )


def preload() -> None:
    """Run a pipeline here: what every run imports and builds is then there for all those that are forked."""
    import torch

    from lifecycle.core.progress import NullProgress
    from lifecycle.pipeline.spec import read_pipeline
    from lifecycle.session import run_pipeline
    from lifecycle.workspace import Workspace

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = tiny_project(Path(name) / "project")
        pipeline = read_pipeline(folder / "pipeline.yaml", {})
        run_pipeline(pipeline, Workspace(folder / ".lifecycle"), NullProgress())


def run(folder: Path, kill: Kill | None = None) -> int:
    """Run the pipeline in a process of its own; its exit code, negative for a signal.

    What it prints is in the files ``out`` and ``log``, how often it called what writes in ``calls``.
    """
    pid = os.fork()
    if not pid:
        code = 1
        try:
            code = _in_child(folder, kill)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    if kill is not None and not kill.point:
        time.sleep(kill.after_s)
        _send(pid, kill.signal)
    deadline = time.monotonic() + DEADLINE_S
    while (done := os.waitpid(pid, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            _send(pid, signal.SIGKILL)
            raise RuntimeError(f"{folder}: the pipeline does not end: {(folder / 'log').read_text()[-2000:]}")
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(done[1])


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):  # it was faster
        os.kill(pid, number)


def _in_child(folder: Path, kill: Kill | None) -> int:
    from lifecycle.cli.main import main
    from lifecycle.stages import fitting

    os.chdir(folder)
    for name, number in (("out", 1), ("log", 2)):
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if name == "out" else os.O_APPEND))
        os.dup2(handle, number)
    fitting.SAVE_EVERY = timedelta(milliseconds=20)
    calls = _listen(kill)
    try:
        main(["run", "pipeline.yaml", "--json"])
    except SystemExit as ended:
        sys.stdout.flush()
        sys.stderr.flush()
        (folder / "calls").write_text(json.dumps(calls))
        return int(ended.code or 0)
    return 0


def _listen(kill: Kill | None) -> Counter[str]:
    """Count calls of what writes, and die where it is said."""
    from mlflow import MlflowClient

    calls: Counter[str] = Counter()

    def around(point: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            calls[point] += 1
            due = kill is not None and kill.point == point and kill.call == calls[point]
            if due and kill is not None and kill.when == "halfway":
                os_write(args[0], args[1][: len(args[1]) // 2])
            if due and kill is not None and kill.when != "after":
                os.kill(os.getpid(), signal.SIGKILL)
            found = function(*args, **kwargs)
            if due:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        return called

    os_write = os.write
    for name in FILES:
        setattr(os, name, around(name, getattr(os, name)))
    for name in CLIENT:
        setattr(MlflowClient, name, around(name, getattr(MlflowClient, name)))
    return calls


def outcomes(folder: Path) -> dict[str, str]:
    """Digests by stage, as the last run told them."""
    return {each["stage"]: each["digest"] for each in json.loads((folder / "out").read_text())}


def check_whole(folder: Path) -> None:
    """Nothing half is visible: every artifact that bears its name holds all that its manifest says."""
    from lifecycle.core.artifact import open_artifact

    for path in (folder / ".lifecycle" / "cache").glob("*/[!.]*"):
        open_artifact(path)


def check_consistent(folder: Path) -> None:
    """After a run that ended: MLflow knows no run at work, one version, whole and under its alias."""
    from mlflow import MlflowClient

    from lifecycle.registry import alias_of, fetch

    workspace = folder / ".lifecycle"
    uri = f"sqlite:///{workspace}/mlflow.db"
    client = MlflowClient(uri, uri)
    experiments = [each.experiment_id for each in client.search_experiments()]
    statuses = Counter(run.info.status for run in client.search_runs(experiments, max_results=5000))
    assert not statuses["RUNNING"] and not statuses["SCHEDULED"], statuses
    versions = client.search_model_versions("name = 'tiny'")
    assert [str(each.status) for each in versions] == ["READY"], versions
    version = alias_of(client, "tiny", "challenger")
    assert version is not None
    with tempfile.TemporaryDirectory() as served:
        bundle, _ = fetch(client, version, Path(served))
        assert bundle.digest == outcomes(folder)["export"]
    left = [str(path) for path in (workspace / "cache").glob("*/.*")]
    left += [str(path) for path in (workspace / "tracking").rglob("*") if path.is_file()]
    assert not left, left


@dataclass(frozen=True)
class Reference:
    """The run that nobody disturbed: its digests, how often it wrote, how long it took."""

    digests: dict[str, str]
    calls: dict[str, int]
    seconds: float


def undisturbed(folder: Path, store: Path) -> Reference:
    """Run once, from nothing to the end."""
    prepare(folder, store)
    started = time.monotonic()
    code = run(folder)
    assert code == 0, (folder / "log").read_text()[-3000:]
    check_whole(folder)
    check_consistent(folder)
    calls = json.loads((folder / "calls").read_text())
    return Reference(outcomes(folder), calls, time.monotonic() - started)


def prepare(folder: Path, store: Path) -> None:
    """A project with an empty store: making its tables takes seconds, copying them does not."""
    tiny_project(folder)
    (folder / ".lifecycle").mkdir()
    shutil.copy(store, folder / ".lifecycle" / "mlflow.db")


def disturbed(folder: Path, store: Path, reference: Reference, kills: list[Kill]) -> int:
    """Run with kills, then to the end, and check all there is to check; returns how many kills hit."""
    prepare(folder, store)
    hit = 0
    for kill in kills:
        code = run(folder, kill)
        check_whole(folder)
        if code == 0:
            break
        allowed = {
            -signal.SIGKILL,
            -signal.SIGTERM,
            -signal.SIGINT,
            128 + signal.SIGINT,
            128 + signal.SIGTERM,
        }
        assert code in allowed, f"{kill}: exit code {code}: {(folder / 'log').read_text()[-3000:]}"
        hit += 1
    code = run(folder)
    assert code == 0, f"after {', '.join(map(str, kills))}: {(folder / 'log').read_text()[-3000:]}"
    assert outcomes(folder) == reference.digests, (outcomes(folder), reference.digests)
    check_whole(folder)
    check_consistent(folder)
    return hit


# In the middle of what the second stage makes, of telling MLflow, and of registering.
SHORT = (
    Kill(point="rename", call=2),
    Kill(point="log_batch", call=10, when="after"),
    Kill(point="create_model_version", call=1, when="after"),
)


def random_kill(reference: Reference, chance: random.Random) -> Kill:
    """A time, or a write."""
    if chance.random() < 0.5:
        number = chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
        return Kill(signal=number, after_s=chance.uniform(0, reference.seconds))
    point = chance.choice([name for name, count in reference.calls.items() if count])
    whens = ("before", "after", "halfway") if point == "write" else ("before", "after")
    return Kill(point=point, call=chance.randint(1, reference.calls[point]), when=chance.choice(whens))


def empty_store(folder: Path) -> Path:
    """An MLflow store in which nothing is yet; made in a process of its own, which forks nothing later."""
    pid = os.fork()
    if not pid:
        from lifecycle.tracking import connect
        from lifecycle.workspace import Workspace

        connect(Workspace(folder), {})
        os._exit(0)
    os.waitpid(pid, 0)
    return folder / "mlflow.db"


def short(root: Path) -> int:
    """One trial with the kills of `SHORT`; returns how many hit."""
    preload()
    store = empty_store(root / "store")
    return disturbed(root / "trial", store, undisturbed(root / "undisturbed", store), list(SHORT))


def campaign(kills: int, root: Path, seed: int) -> int:
    """Kill until there were so many in all; returns how many trials did not end as they should."""
    preload()
    chance, hit, wrong, trial = random.Random(seed), 0, 0, 0
    store = empty_store(root / "store")
    reference = undisturbed(root / "undisturbed", store)
    print(f"undisturbed: {reference.seconds:.1f} s, {reference.calls}", file=sys.stderr)
    while hit < kills:
        planned = [random_kill(reference, chance) for _ in range(min(chance.choice((1, 2, 3)), kills - hit))]
        folder = root / f"trial-{trial}"
        try:
            hit += disturbed(folder, store, reference, planned)
            shutil.rmtree(folder)
        except Exception:
            wrong, hit = wrong + 1, hit + 1
            print(f"trial {trial} in {folder}: {', '.join(map(str, planned))}", file=sys.stderr)
            traceback.print_exc()
        trial += 1
        print(f"{hit} kills, {trial} trials, {wrong} wrong ({', '.join(map(str, planned))})", file=sys.stderr)
    return wrong


def main() -> None:
    """Kill at length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--short", action="store_true", help="three kills, always the same")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="pipeline-chaos-"))
    os.environ |= {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    if options.short:
        wrong = len(SHORT) - short(root)
    else:
        print(f"seed {options.seed}", file=sys.stderr)
        wrong = campaign(options.kills, root, options.seed)
    if not wrong:
        shutil.rmtree(root)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
