"""Processes that promote at the same moment, some of which die on the way."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path

from lifecycle.core.errors import ConflictError
from lifecycle.ledger import Ledger
from lifecycle.promotion import promote, propose
from lifecycle.tracking import connect
from lifecycle.workspace import Workspace


def main(folder: Path, name: str, which: int, rounds: int, deaths: float) -> None:
    """Promote version `which` in every round; write down which rounds were won.

    Args:
        folder: With the workspace, and the files by which rounds begin.
        name: The registered model.
        which: The version.
        rounds: How many.
        deaths: How likely it is to die between the entry in the ledger and the move of the alias.
    """
    client = connect(Workspace(folder / ".lifecycle"), {})
    chance = random.Random(which)
    won = []
    (folder / f"ready-{which}").touch()
    for turn in range(rounds):
        while not (folder / f"go-{turn}").exists():
            time.sleep(0.001)
        promotion = propose(client, f"models:/{name}/{which}", folder / f"served-{which}")
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


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
