"""What training costs over a hand-written loop: function calls, which do not vary, time, and memory.

Everything is run in turn in one process, on one thread. Times are ratios of neighbours: each repetition
runs the raw loop and every trainer once, and the median of the ratios is given with the interval that holds
the true median with 95 % (a bootstrap); Lightning, which takes longest, has its turn in every third. It is
measured where it is installed (``make bench`` installs it). The table goes to stdout, and the figures to the
file named by ``--json``.
"""

from __future__ import annotations

import cProfile
import json
import platform
import pstats
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from figures.figure import Bar, Figure
from figures.handover import hand_over, parser_of, print_bars, print_figures
from figures.spread import ends, interval, spread
from loops import STEPS, medium, micro, raw, trained_by
from turns import LIGHTNING, OURS, Run, frameworks, quiet, ratios, title_of

import lifecycle

BARE = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
SPARSE = {LIGHTNING: 3}  # its turns take most of the time


def calls_per_step(run: Run, steps: int) -> float:
    """Python and C function calls, by cProfile."""
    profile = cProfile.Profile()
    profile.runcall(run)
    return pstats.Stats(profile).total_calls / steps  # type: ignore[attr-defined, no-any-return]


def peak_bytes(run: Run) -> int:
    """The most tensor memory at any time above what was there before, by torch's profiler."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        run()
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        profile.export_chrome_trace(file.name)
        events = json.loads(Path(file.name).read_text())["traceEvents"]
    changes = [event["args"] for event in events if event.get("name") == "[memory]"]
    held = most = 0
    for change in changes:
        held += change["Bytes"]
        most = max(most, held)
    return most


def torch_free() -> bool:
    """Whether ``import lifecycle`` leaves torch alone."""
    code = "import sys, lifecycle; sys.exit('torch' in sys.modules)"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is measured.

    Attributes:
        steps: Of the micro model; those of the larger one are a part of it.
        repeats: Turns.
        starts: Fits of one step.
    """

    steps: int = STEPS
    repeats: int = 21
    starts: int = 25


def measure_calls(root: Path, steps: int) -> list[Figure]:
    """Calls per step over the raw loop."""
    task = micro(steps)
    raw(task)()  # what is imported on the way is no part of a step
    base = calls_per_step(raw(task), task.steps)
    found = []
    each = []
    for name, framework in frameworks().items():
        who, counts = title_of(name), {}
        bar = Bar(sign="<=", limit=60) if name == OURS else None
        for logs, row in ((0, "bare, no `self.log`"), (1, "bare, one `self.log`"), (10, "bare, ten")):
            run = trained_by(framework, task, logs, root, **BARE)
            run()
            counts[logs] = calls_per_step(run, task.steps) - base
            found.append(_calls(row, who, counts[logs], bar if logs < 2 else None))
        run = trained_by(framework, task, 1, root)
        run()
        default = calls_per_step(run, task.steps) - base
        found.append(_calls("as it is by default, one `self.log`", who, default, None))
        further = {"the first": counts[1] - counts[0], "each of nine more": (counts[10] - counts[1]) / 9}
        for row, count in further.items():
            bar = Bar(sign="<=", limit=40) if name == OURS else None
            each.append(
                Figure(table="calls for a `self.log`", row=row, of=who, unit="calls", value=count, bar=bar)
            )
    return found + each


def _calls(row: str, who: str, count: float, bar: Bar | None) -> Figure:
    table = "function calls a step"
    return Figure(table=table, row=row, of=who, over="the raw loop", unit="calls", value=count, bar=bar)


def measure_times(root: Path, effort: Effort) -> list[Figure]:
    """Time over the raw loop: one log, progress bar and checkpointing on.

    Epochs are long enough that what a fit costs once (`measure_starts`) is little beside its steps.
    """
    found, less = [], []
    cases = (
        (micro(2 * effort.steps), "micro model", Bar(sign="<=", limit=1.15, judged="low")),
        (medium(3 * effort.steps // 10), "5 ms a step", Bar(sign="<=", limit=1.01, judged="low")),
    )
    for task, row, bar in cases:
        runs = {"raw": raw(task)} | {
            name: trained_by(framework, task, 1, root, logger=False, enable_model_summary=False)
            for name, framework in frameworks().items()
        }
        values = ratios(runs, effort.repeats, SPARSE)
        for name in frameworks():
            table = "time of a step, one `self.log`, bar and checkpoints on"
            common = {"table": table, "row": row, "over": "the raw loop", "unit": "×"}
            held = bar if name == OURS else None
            found.append(Figure(**common, of=title_of(name), bar=held, **ends(interval(values[name]))))
        if LIGHTNING in values:
            pairs = list(zip(values[OURS][:: SPARSE[LIGHTNING]], values[LIGHTNING], strict=True))
            common = {"table": "overhead, times less", "row": row, "over": title_of(LIGHTNING), "unit": "×"}
            less.append(Figure(**common, bar=Bar(sign=">=", limit=10), **ends(spread(pairs, times_less))))
    return found + less


def times_less(pairs: list[tuple[float, float]]) -> float:
    """How many times less than the other's is our overhead, from ratios over the same raw loop.

    An overhead of ours below a hundredth of a step is taken for that: noise hides what is less, and a
    ratio to it would say nothing.
    """
    ours, other = (median(values) - 1 for values in zip(*pairs, strict=True))
    return max(other, 0.0) / max(ours, 0.01)


def measure_starts(root: Path, repeats: int) -> list[Figure]:
    """What a fit costs once, beside its steps: the trainer is made, and a checkpoint written."""
    task = micro(1)
    runs = {"raw loop": raw(task)} | {
        title_of(name): trained_by(framework, task, 1, root, logger=False, enable_model_summary=False)
        for name, framework in frameworks().items()
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - start))
    common = {"table": "a fit of one step, with its checkpoint", "row": "micro model", "unit": "ms"}
    return [Figure(**common, of=name, **ends(interval(values))) for name, values in times.items()]


def measure_memory(root: Path) -> Figure:
    """Peak tensor memory over the raw loop's."""
    task = medium(steps=20)
    ours, hand = trained_by(lifecycle, task, 1, root, **BARE), raw(task)
    return Figure(
        table="peak tensor memory, no save in flight", row="5 ms a step", over="the raw loop", unit="×",
        value=peak_bytes(ours) / peak_bytes(hand), bar=Bar(sign="<=", limit=1.01),
    )  # fmt: skip


def main() -> None:
    """Measure, print a table, and hand the figures over."""
    parser = parser_of(__doc__)
    parser.add_argument("--repeats", type=int, default=Effort.repeats)
    options = parser.parse_args()
    effort = Effort(steps=20, repeats=3, starts=2) if options.quick else Effort(repeats=options.repeats)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, quiet():
        root = Path(folder)
        found = measure_calls(root, effort.steps)
        found += measure_times(root, effort)
        found += measure_starts(root, effort.starts)
        found.append(measure_memory(root))
    found.append(
        Figure(
            table="`import lifecycle`",
            row="loads no torch",
            unit="yes/no",
            value=float(torch_free()),
            bar=Bar(sign=">=", limit=1),
        )
    )
    print(f"{platform.machine()}, {torch.get_num_threads()} thread, torch {torch.__version__}")
    print_figures(found)
    print_bars(found)
    hand_over(options.json, found)


if __name__ == "__main__":
    main()
