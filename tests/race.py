"""Processes that promote at the same moment, some of which die on the way.

``python -m tests.race --rounds 50 [--postgres]`` lets eight do so (`make chaos`); the suite lets three.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from mlflow import MlflowClient

from lifecycle.core.errors import ConflictError
from lifecycle.ledger import Ledger
from lifecycle.promotion import promote, propose
from lifecycle.registry import alias_of
from lifecycle.tracking import connect
from lifecycle.workspace import Workspace
from tests.postgres import mlflow_server, postgres
from tests.versions import QUICK, registered

CALLS = 20  # about as many as a promotion makes
DIED = 9


class Mortal:
    """A client in a process that may die before or after any of its calls."""

    def __init__(self, client: MlflowClient, chance: random.Random, deaths: float) -> None:
        self._client, self._chance, self._deaths = client, chance, deaths

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            self._perhaps_die()
            result = found(*arguments, **named)
            self._perhaps_die()
            return result

        return call

    def _perhaps_die(self) -> None:
        if self._chance.random() < self._deaths / CALLS:
            os._exit(DIED)


def racer(folder: Path, which: int, first: int, rounds: int, deaths: float) -> None:
    """Promote version `which` in every round; write down which rounds were won.

    Args:
        folder: With the workspace, and the files by which rounds begin.
        which: The version.
        first: The round to begin with.
        rounds: How many there are.
        deaths: How likely it is to die in a round, before or after any call of MLflow.
    """
    client = connect(Workspace(folder / ".lifecycle"))  # of MLFLOW_TRACKING_URI, if that is set
    chance = random.Random(1000 * which + first)
    (folder / f"ready-{first}-{which}").touch()
    for turn in range(first, rounds):
        while not (folder / f"go-{turn}").exists():
            time.sleep(0.001)
        promotion = propose(client, f"models:/digits/{which}", folder / f"served-{which}")
        (folder / f"judged-{turn}-{which}").touch()
        while not (folder / f"move-{turn}").exists():
            time.sleep(0.001)
        mortal = cast("MlflowClient", Mortal(client, chance, deaths))
        try:
            if promote(mortal, promotion, reason=f"round {turn}") is not None:
                (folder / f"won-{turn}-{which}").touch()
        except ConflictError:
            pass
        (folder / f"done-{turn}-{which}").touch()


def race(client: MlflowClient, folder: Path, racers: int, rounds: int, deaths: float) -> list[set[int]]:
    """Let versions 1, 2, … be promoted at once in every round; returns who won, by what they say themselves.

    Who dies in a round is there again in the next.
    """
    address = {} if client.tracking_uri.startswith("sqlite") else {"MLFLOW_TRACKING_URI": client.tracking_uri}

    def start(which: int, first: int) -> subprocess.Popen[bytes]:
        words = map(str, ("--racer", folder, which, first, rounds, deaths))
        return subprocess.Popen(
            [sys.executable, "-m", "tests.race", *words],
            cwd=Path(__file__).parents[1],
            env={**os.environ, **address},
        )

    alive = {which: start(which, 0) for which in range(1, racers + 1)}
    new = set(alive)
    deadline = time.monotonic() + 60 + 15 * rounds

    def wait(name: str, whom: set[int]) -> None:
        for which in sorted(whom & set(alive)):
            while not (folder / f"{name}-{which}").exists():
                if alive[which].poll() is not None:
                    assert alive[which].returncode == DIED
                    del alive[which]
                    break
                assert time.monotonic() < deadline
                time.sleep(0.002)

    for turn in range(rounds):
        wait(f"ready-{turn}", new)
        (folder / f"go-{turn}").touch()
        wait(f"judged-{turn}", set(alive))
        (folder / f"move-{turn}").touch()
        wait(f"done-{turn}", set(alive))
        ledger = Ledger(client, "digits")
        ledger.settle(repair=True)
        latest = ledger.read().latest()
        champion = alias_of(client, "digits", "champion")
        assert (champion and champion.number) == (latest and latest.version)
        new = set(range(1, racers + 1)) - set(alive)
        if turn + 1 < rounds:
            alive |= {which: start(which, turn + 1) for which in new}
    for process in alive.values():
        process.wait(timeout=60)
    return [
        {int(path.name.rpartition("-")[2]) for path in folder.glob(f"won-{turn}-*")} for turn in range(rounds)
    ]


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
    parser.add_argument("--racer", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--postgres", action="store_true", help="on `mlflow server` with PostgreSQL")
    parser.add_argument("--racers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--deaths", type=float, default=0.02, help="how likely each is to die in a round")
    options = parser.parse_args()
    if options.racer:
        folder, which, first, rounds, deaths = options.racer
        racer(Path(folder), int(which), int(first), int(rounds), float(deaths))
        return
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        os.chdir(folder)  # where MLflow puts files that are given no place
        server = {}
        if options.postgres:
            (folder / "server").mkdir()
            store = stack.enter_context(postgres())
            server = {"MLFLOW_TRACKING_URI": stack.enter_context(mlflow_server(store, folder / "server"))}
        client = connect(Workspace(folder / ".lifecycle"), server)
        for index in range(options.racers):
            registered(client, folder / f"v{index}", label=f"zero {index}", gates=QUICK)
        won = race(client, folder, options.racers, options.rounds, options.deaths)
        check_linear(client, won, options.rounds)
        died = len(list(folder.glob("ready-*"))) - options.racers
    where = "PostgreSQL" if options.postgres else "SQLite"
    print(
        f"{where}: {options.rounds} rounds of {options.racers}, {died} died on the way: "
        "the history is linear, at most one won each round"
    )


if __name__ == "__main__":
    main()
