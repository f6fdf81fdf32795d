"""What training costs on a CUDA device over a hand-written loop: host synchronisations, time, and memory.

Synchronisations are counted by ``torch.cuda.set_sync_debug_mode`` in two fits of different length, with
logger and progress bar on: what both have (making the model, the end of the epoch) cancels out. Times are
ratios of neighbours, as in ``trainer.py``. Without a CUDA device there is nothing to measure, which is said.
"""

from __future__ import annotations

import gc
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import torch
from figures.figure import Bar, Figure
from figures.handover import hand_over, parser_of, print_bars
from figures.spread import ends, interval
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset
from turns import OURS, Run, frameworks, quiet, ratios, title_of

DEVICE = torch.device("cuda", 0)


class Bottleneck(nn.Module):
    """A residual block of three convolutions (He et al., "Deep Residual Learning", CVPR 2016, figure 5)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.body = nn.Sequential(
            *_convolution(inputs, width, 1, 1),
            nn.ReLU(inplace=True),
            *_convolution(width, width, 3, stride),
            nn.ReLU(inplace=True),
            *_convolution(width, outputs, 1, 1),
        )
        plain = inputs == outputs and stride == 1
        self.skip = nn.Identity() if plain else nn.Sequential(*_convolution(inputs, outputs, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """Maps of shape (batch, inputs, height, width) to (batch, 4 * width, height / stride, …)."""
        return torch.relu(self.body(x) + self.skip(x))


def _convolution(inputs: int, outputs: int, size: int, stride: int) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    return convolution, nn.BatchNorm2d(outputs)


def resnet50() -> nn.Module:
    """ResNet-50: 25.6 million parameters, 4.1 thousand million multiply-accumulates for 224×224 pixels."""
    layers: list[nn.Module] = [*_convolution(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            layers.append(Bottleneck(inputs, width, stride if block == 0 else 1))
            inputs = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1000))


class Repeated:
    """A loader that gives one batch, which lies on the device already, many times."""

    def __init__(self, batch: tuple[Tensor, Tensor], count: int) -> None:
        self.batch, self.count = batch, count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return repeat(self.batch, self.count)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A model, and the batches of one run, which lie on the device already."""

    name: str
    layers: Callable[[], nn.Module]
    batches: Repeated
    precision: str = "32-true"
    channels_last: bool = False

    def model(self) -> nn.Module:
        """The layers, in the memory format of the task."""
        layout = torch.channels_last if self.channels_last else torch.preserve_format
        return self.layers().to(memory_format=layout)  # type: ignore[call-overload, no-any-return]


def micro(steps: int = 1000) -> Task:
    """A step that does almost nothing."""
    batch = torch.randn(4, 32, device=DEVICE), torch.randint(2, (4,), device=DEVICE)
    return Task(name="micro", layers=lambda: nn.Linear(32, 2), batches=Repeated(batch, steps))


def large(steps: int = 40, size: int = 64) -> Task:
    """ResNet-50 in bfloat16 on images of 224×224 pixels."""
    images = torch.randn(size, 3, 224, 224, device=DEVICE).contiguous(memory_format=torch.channels_last)
    batch = images, torch.randint(1000, (size,), device=DEVICE)
    return Task(
        name="ResNet-50, bf16, channels last",
        layers=resnet50,
        batches=Repeated(batch, steps),
        precision="bf16-mixed",
        channels_last=True,
    )


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    """The same for all."""
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True)


def raw(task: Task, wrapped: Callable[[nn.Module], nn.Module] = lambda model: model) -> Run:
    """The loop that one would write by hand, around a model or what it is wrapped in."""
    mixed = task.precision == "bf16-mixed"

    def run() -> None:
        model = wrapped(task.model().to(DEVICE))
        optimizer = optimizer_of(model)
        for x, y in task.batches:
            with torch.autocast("cuda", torch.bfloat16) if mixed else nullcontext():
                loss = cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        torch.cuda.synchronize()

    return run


def trained_by(framework: Any, task: Task, root: Path, data: Any = None, **options: Any) -> Run:
    """The same with a trainer, which logs the loss."""

    class Model(framework.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layers = task.model()

        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            x, y = batch
            loss = cross_entropy(self.layers(x), y)
            self.log("loss", loss, prog_bar=True)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return optimizer_of(self)

    def run() -> None:
        with tempfile.TemporaryDirectory(dir=root) as folder:
            trainer = framework.Trainer(
                max_epochs=1,
                accelerator="gpu",
                devices=1,
                precision=task.precision,
                default_root_dir=folder,
                enable_model_summary=False,
                **options,
            )
            trainer.fit(Model(), task.batches if data is None else data)
        torch.cuda.synchronize()

    return run


@contextmanager
def counted() -> Iterator[list[str]]:
    """What has waited for the device, by torch's own warnings."""
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode("default")
    found += [f"{w.filename}:{w.lineno}" for w in caught if "synchronizing CUDA operation" in str(w.message)]


def syncs_per_step(framework: Any, root: Path) -> tuple[float, list[str]]:
    """Host synchronisations a step, with pinned batches, logger and bar; where the longer fit had them."""
    counts, places = [], list[str]()
    for steps in (200, 400):
        data = TensorDataset(torch.randn(4 * steps, 32), torch.zeros(4 * steps, dtype=torch.long))
        loader = DataLoader(data, 4, pin_memory=True)
        run = trained_by(framework, micro(steps), root, loader, log_every_n_steps=10)
        run()
        with counted() as found:
            run()
        counts.append(len(found))
        places = sorted(set(found))
    return (counts[1] - counts[0]) / 200, places


def peak_bytes(run: Run) -> int:
    """The most memory that tensors took on the device at any time of a run."""
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    return torch.cuda.max_memory_allocated() - before


def measure(root: Path, repeats: int) -> dict[str, Any]:
    """All figures."""
    found: dict[str, Any] = {"syncs": {}, "places": {}, "times": {}, "step_ms": {}}
    for name, framework in frameworks().items():
        found["syncs"][name], found["places"][name] = syncs_per_step(framework, root)
    for task in (micro(), large()):
        runs = {"raw": raw(task)} | {
            name: trained_by(framework, task, root, logger=False, enable_checkpointing=False)
            for name, framework in frameworks().items()
        }
        for name, values in ratios(runs, repeats if task.name == "micro" else max(repeats // 2, 3)).items():
            found["times"][f"{name}, {task.name}"] = interval(values)
        start = time.perf_counter()
        runs["raw"]()
        found["step_ms"][task.name] = (time.perf_counter() - start) / len(task.batches) * 1e3
    task = large(steps=5)
    ours = trained_by(frameworks()["ours"], task, root, logger=False, enable_checkpointing=False)
    found["memory"] = peak_bytes(ours) / peak_bytes(raw(task))
    return found


def figures_of(found: dict[str, Any]) -> list[Figure]:
    """What was found, beside what is aimed at."""
    raw_loop = "the raw loop"
    figures = [
        Figure(
            table="host synchronisations a step, logger and bar on",
            row="micro model, pinned batches",
            of=title_of(name),
            value=count,
            bar=Bar(sign="<=", limit=0) if name == OURS else None,
        )
        for name, count in found["syncs"].items()
    ]
    for key, times in found["times"].items():
        name, _, task = key.partition(", ")
        if name != "raw":
            table = "time of a step, one `self.log`, bar on"
            common = {"table": table, "row": task, "over": raw_loop, "unit": "×"}
            figures.append(Figure(**common, of=title_of(name), **ends(times)))
    for task, taken in found["step_ms"].items():
        figures.append(Figure(table="a step of the raw loop", row=task, of=raw_loop, unit="ms", value=taken))
    bar, row = Bar(sign="<=", limit=1.01), "ResNet-50, bf16, channels last"
    table = "peak memory of the device"
    return [*figures, Figure(table=table, row=row, over=raw_loop, unit="×", value=found["memory"], bar=bar)]


def main() -> None:
    """Measure, print a table, and write it as JSON where that is asked for."""
    parser = parser_of(__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("There is no CUDA device: nothing is measured.")
        hand_over(options.json, ())
        return
    with tempfile.TemporaryDirectory() as folder, quiet():
        found = measure(Path(folder), 2 if options.quick else options.repeats)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n")
    print("host synchronisations a step: logger and bar on")
    for name, count in found["syncs"].items():
        print(f"  {name:44}{count:10.3f}  (of a whole fit: {', '.join(found['places'][name]) or 'none'})")
    print("\ntime over the raw loop: one log and the bar on, nothing saved (median, 95 % interval)")
    for name, (middle, low, high) in found["times"].items():
        if not name.startswith("raw"):
            print(f"  {name:44}{middle:10.3f}  [{low:.3f}, {high:.3f}]")
    for name, taken in found["step_ms"].items():
        print(f"  a step of the raw loop, {name:21}{taken:9.3f} ms")
    print(f"\npeak memory of the device over the raw loop: {found['memory']:.5f}")
    figures = figures_of(found)
    print_bars(figures)
    hand_over(options.json, figures)


if __name__ == "__main__":
    main()
