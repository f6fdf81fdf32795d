"""Our server beside what else people build, loaded in turn by wrk.

Four servers are started beside each other on the same ONNX file with the same session settings: ours
(``lifecycle serve``, one worker), BentoML's ``@api(batchable=True)``, FastAPI with pydantic and ONNX Runtime,
and a bare Starlette app with our batcher. All have one processor core, wrk has another. Each is loaded for a
short time in turn, the order rotated, and that is repeated; reported are medians over the repetitions, and
medians of the ratios within one. Processor seconds are those of all of a server's processes. The network is
so small that the servers' own work shows.

Needs wrk (Debian's package of that name) and two cores. Exit code 1 when a bar is missed.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from figures.figure import Bar, Figure
from figures.handover import hand_over, parser_of, print_bars
from figures.spread import ends, interval
from peers.cases import BENTOML, CASES, FASTAPI, OURS, OURS_AS_JSON, STARLETTE, Case
from peers.started import started
from peers.wrk import Load, load

Loads = dict[str, list[Load]]
AT_LEAST = {BENTOML: 5.0, FASTAPI: 1.8, STARLETTE: 0.9, OURS_AS_JSON: 20.0}  # times the rate, 16 connections
LATER_MS = 0.2  # a single request, than the bare Starlette app's
BESIDE = {
    BENTOML: "BentoML's `@api(batchable=True)`",
    FASTAPI: "FastAPI, pydantic and ONNX Runtime",
    STARLETTE: "a bare Starlette app with our batcher",
    OURS_AS_JSON: "the same image as JSON",
}


@dataclass(frozen=True, kw_only=True)
class Turns:
    """How often and for how long each server is loaded.

    Attributes:
        connections: That wrk keeps open.
        rounds: Turns of each.
        seconds: Of one turn, for requests that take no patience.
    """

    connections: int
    rounds: int
    seconds: int = 2


TURNS = (
    Turns(connections=1, rounds=5, seconds=1),
    Turns(connections=16, rounds=7),
    Turns(connections=64, rounds=2),
)
QUICK = (Turns(connections=1, rounds=2, seconds=1), Turns(connections=16, rounds=2, seconds=1))


def main() -> int:
    """Print a table; the exit code."""
    parser = parser_of(__doc__)
    parser.add_argument("--case", choices=[case.name for case in CASES], action="append")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if shutil.which("wrk") is None or len(cores) < 2:
        print("skipped: this needs wrk (apt-get install wrk) and two cores")
        hand_over(options.json, ())
        return 0
    print(f"load averages before: {os.getloadavg()}")
    found: dict[tuple[str, int], Loads] = {}
    for case in CASES:
        if options.case and case.name not in options.case:
            continue
        for connections, loads in measure(case, QUICK if options.quick else TURNS, cores).items():
            found[case.name, connections] = loads
            show(case.name, connections, loads)
    figures = figures_of(found)
    missed = print_bars(figures)
    hand_over(options.json, figures)
    return int(missed > 0)


def measure(case: Case, turns: Sequence[Turns], cores: Sequence[int]) -> dict[int, Loads]:
    """Start the case's servers and load them in turn; what was seen at each number of connections."""
    found: dict[int, Loads] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = {
            name: stack.enter_context(started(name, case, Path(folder), cores[0])) for name in case.servers
        }
        names = list(servers)
        for turn in turns:
            loads: Loads = {name: [] for name in names}
            for at in range(turn.rounds):
                first = at % len(names)  # nobody is always the one after the heaviest
                for name in (*names[first:], *names[:first]):
                    seconds = turn.seconds * case.patience
                    loads[name].append(load(servers[name], turn.connections, seconds, cores[1]))
            found[turn.connections] = loads
    return found


def show(case: str, connections: int, loads: Loads) -> None:
    """A table of medians."""
    print(f"\n{case}, {connections} connections")
    heads = ("requests/s", "p50 ms", "p99 ms", "CPU ms/request", "wrong")
    print(" " * 22 + "".join(f"{head:>{len(head) + 3}}" for head in heads))
    for name, runs in loads.items():
        rate, p50, p99, cpu = (
            median(getattr(run, field) for run in runs) for field in ("rate", "p50_ms", "p99_ms", "cpu_ms")
        )
        wrong = sum(run.wrong for run in runs)
        print(f"  {name:20}{rate:13.0f}{p50:9.3f}{p99:9.3f}{cpu:17.3f}{wrong:8}", flush=True)


def figures_of(found: dict[tuple[str, int], Loads]) -> list[Figure]:
    """All figures: ratios to the peers and their bars first, then what they are made of."""
    figures: list[Figure] = []
    at_16 = {case: loads for (case, connections), loads in found.items() if connections == 16}
    alone = {case: loads for (case, connections), loads in found.items() if connections == 1}
    for case, loads in at_16.items():
        figures += over_peers(
            "rate at 16 connections, times that of", case, loads, lambda ours, peer: ours.rate / peer.rate
        )
    for case, loads in at_16.items():
        figures += over_peers(
            "processor time a request, times less than",
            case,
            loads,
            lambda ours, peer: peer.cpu_ms / ours.cpu_ms,
        )
    for case, loads in alone.items():
        pairs = zip(loads[OURS], loads[STARLETTE], strict=True)
        later = interval([ours.p50_ms - peer.p50_ms for ours, peer in pairs])
        figures.append(
            Figure(
                table="a single request, later than",
                row=f"{BESIDE[STARLETTE]}, {case}",
                over=STARLETTE,
                unit="ms",
                bar=Bar(sign="<=", limit=LATER_MS),
                **ends(later),
            )
        )
    for case in at_16:
        wrong = sum(run.wrong for (name, _), loads in found.items() if name == case for run in loads[OURS])
        table = "answers that are not 2xx, at all loads"
        figures.append(Figure(table=table, row=case, value=wrong, bar=Bar(sign="<=", limit=0)))
    figures += of_each("rate at 16 connections", at_16, "requests/s", lambda run: run.rate)
    figures += of_each("processor time a request at 16 connections", at_16, "ms", lambda run: run.cpu_ms)
    figures += of_each("median latency of a single request", alone, "ms", lambda run: run.p50_ms)
    return figures


def over_peers(table: str, case: str, loads: Loads, ratio: Callable[[Load, Load], float]) -> list[Figure]:
    """Ours beside each peer, as medians of the ratios within a round."""
    found = []
    for peer in loads:
        if peer == OURS:
            continue
        values = [ratio(ours, other) for ours, other in zip(loads[OURS], loads[peer], strict=True)]
        bar = Bar(sign=">=", limit=AT_LEAST[peer]) if table.startswith("rate") else None
        row = f"{BESIDE[peer]}, {case}"
        found.append(Figure(table=table, row=row, over=peer, unit="×", bar=bar, **ends(interval(values))))
    return found


def of_each(table: str, found: dict[str, Loads], unit: str, value: Callable[[Load], float]) -> list[Figure]:
    """What each server showed, as medians over the rounds."""
    return [
        Figure(table=table, row=case, of=name, unit=unit, **ends(interval([value(run) for run in runs])))
        for case, loads in found.items()
        for name, runs in loads.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
