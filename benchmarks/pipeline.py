"""What the pipeline costs beyond its stages, and how long people wait for what does no work.

By hand, the stages of the digits example are called one after another, with nothing recorded. The pipeline
does the same with keys, journal, lock, MLflow, drawings and the report's page. Both run in turn in one
process, each in its own folder; MLflow is imported and its store opened before, which is tracking's start-up.
Then commands are started anew: a run in which everything is cached, a plan, and --help.

Six minutes on two quiet cores; of a longer run the own cost is a smaller part.

    python benchmarks/pipeline.py [--pairs 3] [--epochs 100] [--starts 5]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from figures.figure import Bar, Figure
from figures.handover import hand_over

from lifecycle.core.artifact import Artifact
from lifecycle.core.stage import Context
from lifecycle.pipeline.spec import Pipeline, read_pipeline
from lifecycle.report.run import report_run
from lifecycle.session import data_maker, run_pipeline
from lifecycle.tracking import connect
from lifecycle.workspace import Workspace

DIGITS = Path(__file__).parent.parent / "examples" / "digits"
ALLOWED = {"own cost": 0.02, "cached run": 4.0, "plan": 1.0, "--help": 0.3}


class Quiet:
    """A progress display that shows nothing."""

    def update(self, text: str, done: int, total: int) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Nothing to take down."""


def project(folder: Path, epochs: int) -> Pipeline:
    """The digits example in a folder of its own, trained for longer; registering is left to MLflow."""
    folder.mkdir(parents=True)
    for name in ("pipeline.yaml", "model.py", "data.py"):
        shutil.copy(DIGITS / name, folder / name)
    overrides = [
        f"train.trainer.max_epochs={epochs}",
        f"prune.epochs={max(1, epochs // 2)}",
        "budget.max_drop=0.5",
    ]
    pipeline = read_pipeline(folder / "pipeline.yaml", {}, overrides)
    stages = {name: stage for name, stage in pipeline.stages.items() if name != "register"}
    return replace(pipeline, stages=stages)


def by_hand(pipeline: Pipeline) -> None:
    """Call every stage with what those before it made."""
    context = Context(
        project=pipeline.project,
        data=data_maker(pipeline.project),
        budget=pipeline.budget,
        seed=pipeline.seed,
        progress=Quiet(),
    )
    given: dict[str, Artifact] = {}
    for name, stage in pipeline.stages.items():
        inputs = {kind: given[kind] for kind in stage.consumes}
        artifact = stage.run(inputs, pipeline.project.root / "made" / name, context)
        given[artifact.kind] = artifact
        if artifact.kind == "checkpoint":
            steps = {**context.steps, name: artifact}
            context = replace(context, baseline=context.baseline or artifact, steps=steps)


def opened(pipeline: Pipeline, store: Workspace) -> Workspace:
    """A workspace of its own, with a store that is made and open: making its tables takes seconds."""
    workspace = Workspace(pipeline.project.root / ".lifecycle")
    workspace.path.mkdir()
    shutil.copy(store.path / "mlflow.db", workspace.path / "mlflow.db")
    connect(workspace, {})
    return workspace


def by_pipeline(pipeline: Pipeline, workspace: Workspace) -> None:
    """Run it as `lifecycle run` does."""
    run_pipeline(
        pipeline,
        workspace,
        Quiet(),
        finish=lambda outcomes, run, failure: report_run(pipeline, workspace, outcomes, run, failure),
    )


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the wall's clock, and of the processor in all threads."""
    wall, processor = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        work()
    return time.perf_counter() - wall, time.process_time() - processor


def own_cost(root: Path, pairs: int, epochs: int) -> float:
    """The pipeline's cost as a fraction of that of the stages by hand; prints every pair."""
    store = Workspace(root / "store")
    connect(store, {})
    by_hand(project(root / "warm-up", 2))  # what is imported and compiled once is nobody's cost
    warm_up = project(root / "warm-up-pipeline", 2)
    by_pipeline(warm_up, opened(warm_up, store))
    ratios: dict[str, list[float]] = {"wall": [], "processor": []}
    for pair in range(pairs):
        hand, ours = (project(root / f"{pair}-{name}", epochs) for name in ("hand", "pipeline"))
        workspace = opened(ours, store)
        turns = [
            ("hand", lambda hand=hand: by_hand(hand)),
            ("pipeline", lambda ours=ours, workspace=workspace: by_pipeline(ours, workspace)),
        ]
        found = {name: timed(work) for name, work in (turns if pair % 2 == 0 else reversed(turns))}
        for index, clock in enumerate(ratios):
            ratios[clock].append(found["pipeline"][index] / found["hand"][index] - 1)
        print(
            f"  pair {pair + 1}: by hand {found['hand'][0]:.1f} s (processor {found['hand'][1]:.1f} s), "
            f"pipeline {found['pipeline'][0]:.1f} s ({found['pipeline'][1]:.1f} s)"
        )
    medians = {clock: statistics.median(values) for clock, values in ratios.items()}
    print(
        f"  own cost, median: {medians['wall']:+.2%} of the time, "
        f"{medians['processor']:+.2%} of the processor's"
    )
    return medians["processor"]


def waits(root: Path, starts: int) -> dict[str, float]:
    """Median seconds of commands that do no work, each a process of its own."""
    folder = root / "waits"
    project(folder, 1)
    words = ["train.trainer.max_epochs=1", "prune.epochs=1", "quantize.epochs=1", "budget.max_drop=1.0"]
    commands = {
        "cached run": ["run", "pipeline.yaml", *words],
        "plan": ["plan", "pipeline.yaml", *words],
        "--help": ["--help"],
    }
    command = [sys.executable, "-c", "from lifecycle.cli.main import main; main()"]
    subprocess.run([*command, *commands["cached run"]], cwd=folder, check=True, capture_output=True)
    found: dict[str, list[float]] = {name: [] for name in commands}
    processor: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(starts):
        for name, arguments in commands.items():
            begun, used = time.perf_counter(), os.times()
            subprocess.run([*command, *arguments], cwd=folder, check=True, capture_output=True)
            found[name].append(time.perf_counter() - begun)
            now = os.times()
            processor[name].append(
                now.children_user + now.children_system - used.children_user - used.children_system
            )
    for name, times in processor.items():
        print(f"  {name}: {statistics.median(times):.2f} s of the processor's")
    return {name: statistics.median(times) for name, times in found.items()}


def figures_of(measured: dict[str, float]) -> list[Figure]:
    """What was found, beside what is allowed."""
    found = []
    for what, value in measured.items():
        if what == "own cost":
            words = {"table": "own cost", "row": "of the stages by hand", "unit": "%"}
            value, limit = 100 * value, 100 * ALLOWED[what]
        else:
            words, limit = {"table": "what people wait for", "row": what, "unit": "s"}, ALLOWED[what]
        found.append(Figure(**words, value=value, bar=Bar(sign="<=", limit=limit)))
    return found


def main() -> None:
    """Measure, and say what is beyond what is allowed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        print("What the pipeline costs beyond its stages")
        measured = {"own cost": own_cost(root, options.pairs, options.epochs)} if options.pairs else {}
        print("What people wait for")
        measured |= waits(root, options.starts)
    for what, value in measured.items():
        limit = ALLOWED[what]
        verdict = "" if value <= limit else "  beyond what is allowed"
        shown = (
            f"{value:+.2%} (at most {limit:.0%})"
            if what == "own cost"
            else f"{value:.2f} s (at most {limit} s)"
        )
        print(f"  {what}: {shown}{verdict}")
    hand_over(options.json, figures_of(measured))


if __name__ == "__main__":
    main()
