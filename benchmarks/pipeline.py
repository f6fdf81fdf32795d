"""What the pipeline costs beyond its stages, and how long people wait for what does no work.

By hand, the stages of the digits example are called one after another, with nothing recorded. The pipeline
does the same with keys, journal, lock, MLflow, drawings and the report's page. Both run in turn in one
process, each in its own folder; MLflow is imported and its store opened before, which is tracking's start-up.
One training is not as long as the same one again, by several per cent: what the bar is held against is heard
within the pipeline's run, as `own.py` says, and the two runs' ratio stands beside it.
Then commands are started anew: a run in which everything is cached, a plan, and --help.

Ten minutes on two quiet cores: a run takes two, and most of what it costs is the same for a shorter one.

    python benchmarks/pipeline.py [--pairs 2] [--epochs 250] [--starts 5]
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
from figures.spread import ends, interval
from own import heard

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


def timed(work: Callable[[], None]) -> float:
    """Seconds that something takes."""
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        work()
    return time.perf_counter() - began


def own_cost(root: Path, pairs: int, epochs: int) -> dict[str, tuple[float, float, float]]:
    """The pipeline's cost as a fraction of that of the stages by hand, in both ways; prints every pair."""
    store = Workspace(root / "store")
    connect(store, {})
    by_hand(project(root / "warm-up", 2))  # what is imported and compiled once is nobody's cost
    warm_up = project(root / "warm-up-pipeline", 2)
    by_pipeline(warm_up, opened(warm_up, store))
    shares, ratios = [], []
    for pair in range(pairs):
        hand, ours = (project(root / f"{pair}-{name}", epochs) for name in ("hand", "pipeline"))
        workspace = opened(ours, store)
        if pair % 2:
            hand_s = timed(lambda hand=hand: by_hand(hand))
        with heard([*ours.stages.values()]) as own:
            timed(lambda ours=ours, workspace=workspace: by_pipeline(ours, workspace))
        if not pair % 2:
            hand_s = timed(lambda hand=hand: by_hand(hand))
        shares.append(own.share)
        ratios.append(own.total / hand_s - 1)
        print(
            f"  pair {pair + 1}: by hand {hand_s:.1f} s, pipeline {own.total:.1f} s: outside of stages "
            f"{own.total - own.stages:.2f} s, recording {own.recorded:.2f} s, threads {own.threads:.2f} s "
            f"of the processor: {own.share:.2%}"
        )
    return {"within": interval(shares), "in turn": interval(ratios)}


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


def figures_of(own: dict[str, tuple[float, float, float]], waited: dict[str, float]) -> list[Figure]:
    """What was found, beside what is allowed."""
    figures = []
    rows = {"within": "of the stages by hand", "in turn": "– as the ratio of two runs, one after the other"}
    for way, found in own.items():
        bar = Bar(sign="<=", limit=100 * ALLOWED["own cost"]) if way == "within" else None
        per_cent = ends((100 * found[0], 100 * found[1], 100 * found[2]))
        figures.append(Figure(table="own cost", row=rows[way], unit="%", bar=bar, **per_cent))
    for what, value in waited.items():
        bar = Bar(sign="<=", limit=ALLOWED[what])
        figures.append(Figure(table="what people wait for", row=what, unit="s", value=value, bar=bar))
    return figures


def main() -> None:
    """Measure, and say what is beyond what is allowed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=250)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        print("What the pipeline costs beyond its stages")
        own = own_cost(root, options.pairs, options.epochs) if options.pairs else {}
        print("What people wait for")
        waited = waits(root, options.starts)
    for way, (middle, low, high) in own.items():
        print(f"  own cost, {way}: {middle:+.2%}  [{low:+.2%}, {high:+.2%}]")
    figures = figures_of(own, waited)
    for figure in figures:
        if figure.bar is not None and not figure.holds:
            print(f"  {figure.row}: {figure.value:.3g} {figure.unit} is beyond what is allowed")
    hand_over(options.json, figures)


if __name__ == "__main__":
    main()
