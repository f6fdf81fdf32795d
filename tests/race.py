"""Processes that promote at the same moment, some of which die on the way.

``python -m tests.race --rounds 50`` lets eight do so (`make chaos`); the suite lets three.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mlflow import MlflowClient

from lifecycle.core.errors import ConflictError
from lifecycle.ledger import Ledger
from lifecycle.promotion import promote, propose
from lifecycle.registry import alias_of
from lifecycle.tracking import connect
from lifecycle.workspace import Workspace
from tests.versions import QUICK, registered


def racer(folder: Path, which: int, rounds: int, deaths: float) -> None:
    """Promote version `which` in every round; write down which rounds were won.

    Args:
        folder: With the workspace, and the files by which rounds begin.
        which: The version.
        rounds: How many.
        deaths: How likely it is to die between the entry in the ledger and the move of the alias.
    """
    client = connect(Workspace(folder / ".lifecycle"))  # of MLFLOW_TRACKING_URI, if that is set
    chance = random.Random(which)
    won = []
    (folder / f"ready-{which}").touch()
    for turn in range(rounds):
        while not (folder / f"go-{turn}").exists():
            time.sleep(0.001)
        promotion = propose(client, f"models:/digits/{which}", folder / f"served-{which}")
        (folder / f"judged-{turn}-{which}").touch()
        while not (folder / f"move-{turn}").exists():
            time.sleep(0.001)
        if chance.random() < deaths:
            Ledger.settle = lambda *_, **__: os._exit(9)  # type: ignore[assignment, method-assign, misc]
        try:
            if promote(client, promotion, reason=f"round {turn}") is not None:
                won.append(turn)
        except ConflictError:
            pass
        (folder / f"won-{which}").write_text(json.dumps(won))
        (folder / f"done-{turn}-{which}").touch()


def race(client: MlflowClient, folder: Path, racers: int, rounds: int, deaths: float) -> list[set[int]]:
    """Let versions 1, 2, … be promoted at once in every round; returns who won, by what they say themselves."""
    address = {} if client.tracking_uri.startswith("sqlite") else {"MLFLOW_TRACKING_URI": client.tracking_uri}
    alive = {
        which: subprocess.Popen(
            [sys.executable, "-m", "tests.race", *map(str, ("--racer", folder, which, rounds, deaths))],
            cwd=Path(__file__).parents[1],
            env={**os.environ, **address},
        )
        for which in range(1, racers + 1)
    }
    deadline = time.monotonic() + 60 + 10 * rounds

    def wait(name: str) -> None:
        for which, process in list(alive.items()):
            while not (folder / f"{name}-{which}").exists():
                if process.poll() is not None:
                    assert process.returncode == 9  # it was to die
                    del alive[which]
                    break
                assert time.monotonic() < deadline
                time.sleep(0.002)

    wait("ready")
    for turn in range(rounds):
        (folder / f"go-{turn}").touch()
        wait(f"judged-{turn}")
        (folder / f"move-{turn}").touch()
        wait(f"done-{turn}")
        ledger = Ledger(client, "digits")
        ledger.settle(repair=True)
        latest = ledger.read().latest()
        champion = alias_of(client, "digits", "champion")
        assert (champion and champion.number) == (latest and latest.version)
    for process in alive.values():
        process.wait(timeout=30)
    found: list[set[int]] = [set() for _ in range(rounds)]
    for path in folder.glob("won-*"):
        for turn in json.loads(path.read_text()):
            found[turn].add(int(path.name.partition("-")[2]))
    return found


def check_linear(client: MlflowClient, won: list[set[int]], rounds: int) -> None:
    """At most one winner says so in each round, and the ledger names one for each change."""
    entries = Ledger(client, "digits").read().of()
    by_round = [entry.reason for entry in entries]
    assert len(by_round) == len(set(by_round)) <= rounds and len(entries) > 0
    assert [entry.before for entry in entries] == [None, *(entry.version for entry in entries[:-1])]
    for turn, winners in enumerate(won):
        written = {entry.version for entry in entries if entry.reason == f"round {turn}"}
        assert winners <= written and len(written) <= 1


def main() -> None:
    """Race at length, in a store of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--racer", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--racers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--deaths", type=float, default=0.02, help="how likely each is to die in a round")
    options = parser.parse_args()
    if options.racer:
        folder, which, rounds, deaths = options.racer
        racer(Path(folder), int(which), int(rounds), float(deaths))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)  # where MLflow puts files that are given no place
        client = connect(Workspace(folder / ".lifecycle"), {})
        for index in range(options.racers):
            registered(client, folder / f"v{index}", label=f"zero {index}", gates=QUICK)
        won = race(client, folder, options.racers, options.rounds, options.deaths)
        check_linear(client, won, options.rounds)
    print(f"{options.rounds} rounds of {options.racers}: the history is linear, one winner in each")


if __name__ == "__main__":
    main()
