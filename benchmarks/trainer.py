"""What training costs over a hand-written loop: function calls, which do not vary, time, and memory.

Everything is run in turn in one process, on one thread. Times are ratios of neighbours: each repetition
runs the raw loop and every trainer once, and the median of the ratios is given with the interval that holds
the true median with 95 % (a bootstrap). Lightning is measured where it is installed (``make bench``
installs it). The table goes to stdout, and as JSON to the file named by ``--json``.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import logging
import platform
import pstats
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import lifecycle

STEPS = 1000
BARE = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
Run = Callable[[], None]


class Task:
    """A model, its data, and how many steps of it are one run."""

    def __init__(
        self, name: str, steps: int, batch: int, layers: Callable[[], nn.Module], width: int
    ) -> None:
        self.name, self.steps, self.batch, self.layers = name, steps, batch, layers
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randn(steps * batch, width, generator=generator)
        self.data = TensorDataset(inputs, inputs[:, :2].clone())

    def loader(self) -> DataLoader[Any]:
        """In order, so that all train on the same batches."""
        return DataLoader(self.data, self.batch)


def micro(steps: int = STEPS) -> Task:
    """A step that does almost nothing: the trainer's cost is all there is to see."""
    return Task("micro", steps, 4, lambda: nn.Linear(32, 2), 32)


def medium(steps: int = 300) -> Task:
    """A step of about 5 ms."""

    def layers() -> nn.Module:
        return nn.Sequential(
            nn.Linear(512, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 2)
        )

    return Task("5 ms", steps, 64, layers, 512)


def raw(task: Task) -> Run:
    """The loop that one would write by hand."""

    def run() -> None:
        model = task.layers()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        for x, y in task.loader():
            loss = ((model(x) - y) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def trained_by(framework: Any, task: Task, logs: int, root: Path, **options: Any) -> Run:
    """The same with a trainer; `framework` has ``LightningModule`` and ``Trainer``."""

    class Model(framework.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layers = task.layers()

        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            x, y = batch
            loss = ((self.layers(x) - y) ** 2).mean()
            for index in range(logs):
                self.log(f"loss_{index}", loss, prog_bar=index == 0)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    def run() -> None:
        with tempfile.TemporaryDirectory(dir=root) as folder:
            framework.Trainer(max_epochs=1, accelerator="cpu", default_root_dir=folder, **options).fit(
                Model(), task.loader()
            )

    return run


def calls_per_step(run: Run, steps: int) -> float:
    """Python and C function calls, by cProfile."""
    profile = cProfile.Profile()
    profile.runcall(run)
    return pstats.Stats(profile).total_calls / steps  # type: ignore[attr-defined, no-any-return]


def ratios(runs: dict[str, Run], repeats: int) -> dict[str, list[float]]:
    """Time of each over the first, in every repetition."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(repeats):
        times = {}
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name] = time.perf_counter() - start
        first = next(iter(times.values()))
        for name, taken in times.items():
            found[name].append(taken / first)
    return found


def interval(values: list[float]) -> tuple[float, float, float]:
    """The median, and the bounds that 95 % of medians of resamples lie in."""
    chance = random.Random(0)
    medians = sorted(median(chance.choices(values, k=len(values))) for _ in range(2000))
    return median(values), medians[50], medians[-51]


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


@contextmanager
def quiet() -> Iterator[None]:
    """Bars and summaries are drawn, but nowhere."""
    with redirect_stderr(StringIO()), redirect_stdout(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def torch_free() -> bool:
    """Whether ``import lifecycle`` leaves torch alone."""
    code = "import sys, lifecycle; sys.exit('torch' in sys.modules)"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def frameworks() -> dict[str, Any]:
    """Ours, and Lightning where it is installed."""
    found: dict[str, Any] = {"ours": lifecycle}
    try:
        import lightning.pytorch as lightning
    except ImportError:
        print("Lightning is not installed: `make bench` installs it", file=sys.stderr)
    else:
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        found["Lightning"] = lightning
    return found


def measure_calls(root: Path) -> dict[str, float]:
    """Calls per step over the raw loop."""
    task = micro()
    raw(task)()  # what is imported on the way is no part of a step
    base = calls_per_step(raw(task), task.steps)
    found = {"raw loop": base}
    for name, framework in frameworks().items():
        for logs in (0, 1, 10):
            run = trained_by(framework, task, logs, root, **BARE)
            run()
            found[f"{name}, {logs} logs"] = calls_per_step(run, task.steps) - base
        run = trained_by(framework, task, 1, root)
        run()
        found[f"{name}, 1 log, as it is by default"] = calls_per_step(run, task.steps) - base
    return found


def measure_times(root: Path, repeats: int) -> dict[str, tuple[float, float, float]]:
    """Time over the raw loop: one log, progress bar and checkpointing on.

    Epochs are long enough that what a fit costs once (`measure_starts`) is little beside its steps.
    """
    found = {}
    for task, times in ((micro(2 * STEPS), repeats), (medium(), repeats)):
        runs = {"raw": raw(task)} | {
            name: trained_by(framework, task, 1, root, logger=False, enable_model_summary=False)
            for name, framework in frameworks().items()
        }
        for name, values in ratios(runs, times).items():
            if name != "raw":
                found[f"{name}, {task.name}"] = interval(values)
    return found


def measure_starts(root: Path, repeats: int) -> dict[str, float]:
    """Milliseconds that a fit costs once, beside its steps: the trainer is made, and a checkpoint written."""
    task = micro(1)
    runs = {"raw loop": raw(task)} | {
        name: trained_by(framework, task, 1, root, logger=False, enable_model_summary=False)
        for name, framework in frameworks().items()
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: median(values) for name, values in times.items()}


def main() -> None:
    """Measure, print a table, and write it as JSON where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--repeats", type=int, default=21)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, quiet():
        root = Path(folder)
        calls = measure_calls(root)
        times = measure_times(root, options.repeats)
        starts = measure_starts(root, options.repeats)
        task = medium(steps=20)
        memory = peak_bytes(trained_by(lifecycle, task, 1, root, **BARE)) / peak_bytes(raw(task))
        free = torch_free()
    print(f"{platform.machine()}, {torch.get_num_threads()} thread, torch {torch.__version__}\n")
    print("function calls a step over the raw loop")
    for name, count in calls.items():
        print(f"  {name:44}{count:10.1f}")
    print("\ntime over the raw loop: one log, bar and checkpoints on (median, 95 % interval)")
    for name, (middle, low, high) in times.items():
        print(f"  {name:44}{middle:10.3f}  [{low:.3f}, {high:.3f}]")
    print("\nmilliseconds of a fit of one step, with its checkpoint")
    for name, taken in starts.items():
        print(f"  {name:44}{taken:10.1f}")
    print(f"\npeak tensor memory over the raw loop: {memory:.4f}")
    print(f"import lifecycle loads torch: {'no' if free else 'yes'}")
    if options.json is not None:
        found = {
            "calls": calls,
            "times": times,
            "starts_ms": starts,
            "memory": memory,
            "import_without_torch": free,
        }
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
