"""Run the benchmarks, keep what they found, make the pages anew, and say what changed.

``python benchmarks/run.py [--only trainer,serve] [--quick] [--pages]``, as ``make bench`` does. Results go to
``benchmarks/results.json``; those of benchmarks that are not run stay as they are, with their own dates. What
needs a machine that is not at hand stays too. A quick run shows that all of it works and keeps nothing.
Exit code 1 when a script failed; a bar that is missed is a result like another.
"""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures.changes import changes, render_changes
from figures.handover import take_over
from figures.machine import this_machine, versions
from figures.pages import render_page
from figures.results import Result, Results, parse_results, render_results, write_aside
from figures.suite import SUITE, Benchmark, chosen
from figures.words import aim, cell

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results.json"
PAGES = (ROOT / "docs" / "performance.md", ROOT / "README.md")


def main() -> int:
    """Run what was asked for; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help=f"of {', '.join(one.name for one in SUITE)}")
    parser.add_argument("--quick", action="store_true", help="see that everything works; nothing is kept")
    parser.add_argument("--pages", action="store_true", help="run nothing, make the pages anew")
    options = parser.parse_args()
    try:
        selected = () if options.pages else chosen(options.only)
    except ValueError as error:
        parser.error(str(error))
    results = parse_results(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    failed, took = [], {}
    for benchmark in selected:
        print(f"==> {benchmark.name}: {' '.join(benchmark.command(options.quick))}", flush=True)
        result = measure(benchmark, options.quick)
        if result is None:
            failed.append(benchmark.name)
            continue
        took[benchmark.name] = result.seconds or 0.0
        if not result.figures:
            kept = "its earlier result stays" if benchmark.name in results else "there is no result"
            needs = f" (it needs {benchmark.needs})" if benchmark.needs else ""
            print(f"{benchmark.name} found nothing to measure here{needs}: {kept}")
        elif not options.quick:
            results[benchmark.name] = result
            write_aside(RESULTS, render_results(results))
    if not options.quick:
        finish(results)
    for name, seconds in took.items():
        print(f"{name:12}{seconds:8.0f} s")
    if took:
        print(f"{'together':12}{sum(took.values()):8.0f} s")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def measure(benchmark: Benchmark, quick: bool) -> Result | None:
    """Run one script; None where it failed."""
    command = benchmark.command(quick)
    machine, started = this_machine(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        done = subprocess.run(
            [sys.executable, *command, "--json", str(file)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=False,
        )
        if not file.exists():
            print(f"{benchmark.name} ended with exit code {done.returncode}", file=sys.stderr)
            return None
        figures = take_over(file)
    return Result(
        command=f"python {' '.join(command)}",
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        seconds=round(time.monotonic() - started, 1),
        machine=machine,
        versions=versions(),
        figures=figures,
    )


def finish(results: Results) -> None:
    """Make the pages anew, and say what changed."""
    for page in PAGES:
        write_aside(page, render_page(page.read_text(encoding="utf-8"), results))
    print(f"\n{render_changes(changes(committed(), results))}\n")
    held = [(name, one) for name in results for one in results[name].figures if one.bar is not None]
    missed = [(name, one) for name, one in held if not one.holds]
    for name, one in missed:
        print(f"not reached: {name}, {one.table}, {one.row}: {cell(one)}, {aim(one)}")
    print(f"{len(held) - len(missed)} of {len(held)} bars hold\n")


def committed() -> Results:
    """The results of the last commit; none where there is no repository or no such file in it."""
    done = subprocess.run(
        ["git", "show", "HEAD:benchmarks/results.json"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return parse_results(done.stdout) if done.returncode == 0 else {}


if __name__ == "__main__":
    sys.exit(main())
