"""What pruning and integers bring: latency and size of networks, beside PyTorch and their own dense file.

Weights are random: nothing here is about accuracy. One thread, batches of 1 and 16; PyTorch runs under
``inference_mode``, compiled where a compiler is found. All forms of a network are called in turn, and a ratio
is the median of the ratios of neighbours, with the interval that holds the true median with 95 % (a
bootstrap): what else the machine does, it does to all of them. Every timed call follows an untimed one of the
same form, as in a server at work: else each would find its weights driven out of the caches by the others,
which costs the smallest most (``--cold`` measures that). The table goes to stdout, and the figures to the
file named by ``--json``.
"""

from __future__ import annotations

import logging
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from figures.figure import Bar, Figure
from figures.handover import hand_over, parser_of, print_bars
from figures.spread import ends, interval
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent.parent))

from lifecycle.compress.calibration import calibrate_, freeze_batch_norm_, freeze_observers_
from lifecycle.compress.channels import prune_channels_
from lifecycle.compress.cost import count_cost
from lifecycle.compress.modes import copied
from lifecycle.compress.processor import VNNI, this_processor
from lifecycle.compress.quantizer import convert_quantized, prepare_quantization_
from lifecycle.core.signature import Signature, TensorSpec
from lifecycle.export.network import Network, evaluating
from lifecycle.export.operators import runtime_operators
from lifecycle.export.session import open_session
from lifecycle.export.to_onnx import write_onnx
from tests.compress import zoo

Run = Callable[[], object]
BATCHES = (1, 16)
SECONDS = 6.0  # of timing for each network and batch
BARRED = "ResNet-18"  # the one that the aims are set for
EAGER, DENSE_ONNX = "PyTorch eager", "the dense FP32 file in ONNX Runtime"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network and how it is cut."""

    name: str
    make: Callable[[], nn.Module]
    macs: float = 0.25
    ignore: tuple[str, ...] = ()


CASES = (
    Case(name="ResNet-18", make=zoo.resnet18),
    Case(name="ResNet-56", make=zoo.resnet56),
    Case(name="MobileNet-like", make=zoo.MobileNet),
    # Attention stays whole: only the hidden layers of the MLPs are cut.
    Case(name="ViT", make=zoo.ViT, macs=0.6, ignore=("embed", "blocks.*.attention.*", "blocks.*.mlp.2")),
)


def images(count: int, seed: int = 0) -> Tensor:
    """Random images, ``[count, 3, 32, 32]``."""
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def settled(make: Callable[[], nn.Module]) -> nn.Module:
    """A network whose running statistics fit its weights."""
    torch.manual_seed(0)
    module = make().train()
    with torch.no_grad():
        for seed in range(8):
            module(images(32, seed))
    return module.eval()


def write(module: nn.Module, path: Path) -> Path:
    """The module as the export stage writes it."""
    spec = TensorSpec(name="x", dtype="float32", shape=("batch", 3, 32, 32))
    scores = TensorSpec(name="y", dtype="float32", shape=("batch", 10))
    network = Network(module, Signature(inputs=(spec,), outputs=(scores,)), {"x": images(2).numpy()})
    with evaluating(network):
        write_onnx(network, path)
    return path


def integers(module: nn.Module, method: str) -> nn.Module:
    """The integer network; qat goes through one step of training, which moves nothing by much."""
    module = copied(module)
    prepare_quantization_(module, (images(2),), method="qat" if method == "qat" else "static")
    calibrate_(module, ((images(16, seed),) for seed in range(4)))
    if method == "qat":
        optimizer = torch.optim.SGD(module.parameters(), lr=1e-4)
        module.train()(images(16)).square().mean().backward()
        optimizer.step()
        freeze_observers_(module)
        freeze_batch_norm_(module)
    return convert_quantized(module.eval())


def forms(case: Case, folder: Path) -> tuple[dict[str, nn.Module], dict[str, Path], dict[str, float]]:
    """The modules and files to compare, and what is left of the network's cost."""
    dense = settled(case.make)
    pruned = copied(dense)
    edit = prune_channels_(pruned, (images(2),), macs=case.macs, ignore=case.ignore)
    files = {
        "dense, ONNX Runtime": write(dense, folder / "dense.onnx"),
        "INT8": write(integers(dense, "static"), folder / "int8.onnx"),
        "pruned": write(pruned, folder / "pruned.onnx"),
        "pruned, INT8": write(integers(pruned, "static"), folder / "both.onnx"),
        "pruned, INT8 by QAT": write(integers(pruned, "qat"), folder / "qat.onnx"),
    }
    left = {"macs": edit.macs, "params": edit.params, "dense_macs": count_cost(dense, (images(2),)).macs}
    return {"dense, eager": dense, "pruned, eager": pruned}, files, left


def runs(
    modules: Mapping[str, nn.Module], files: Mapping[str, Path], batch: int, compiled: bool
) -> dict[str, Run]:
    """Each form as a call on one batch."""
    x = images(batch)
    found: dict[str, Run] = {}
    for name, module in modules.items():
        found[name] = _eager(module, x)
    if compiled and (run := _compiled(modules["dense, eager"], x)) is not None:
        found["dense, torch.compile"] = run
    for name, path in files.items():
        session, array = open_session(path), x.numpy()
        found[name] = lambda session=session, array=array: session.run(None, {"x": array})  # type: ignore[misc]
    return found


def _eager(module: Callable[..., object], x: Tensor) -> Run:
    def run() -> object:
        with torch.inference_mode():
            return module(x)

    return run


def _compiled(module: nn.Module, x: Tensor) -> Run | None:
    """What torch.compile makes of it; None where it cannot."""
    run = _eager(torch.compile(copied(module)), x)
    try:
        run()
    except Exception as error:  # a missing compiler, headers, or anything that inductor raises
        print(f"torch.compile does not work here: {str(error).splitlines()[0]}", file=sys.stderr)
        return None
    return run


def times(calls: Mapping[str, Run], seconds: float, cold: bool, least: int) -> dict[str, list[float]]:
    """Milliseconds of each call, all of them in turn, for so many seconds and at least so many times."""
    for run in calls.values():
        for _ in range(3):
            run()
    found: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(found.values()))) < least:
        for name, run in calls.items():
            if not cold:
                run()
            start = time.perf_counter()
            run()
            found[name].append((time.perf_counter() - start) * 1000)
    return found


def ratio(slow: Sequence[float], fast: Sequence[float]) -> dict[str, float]:
    """How many times faster, as the median over pairs, with its 95 % interval."""
    return ends(interval([one / other for one, other in zip(slow, fast, strict=True)]))


def measure(case: Case, seconds: float, compiled: bool, cold: bool) -> dict[str, Any]:
    """Everything about one network."""
    with tempfile.TemporaryDirectory() as folder:
        modules, files, left = forms(case, Path(folder))
        sizes = {name: path.stat().st_size for name, path in files.items()}
        counts = {name: dict(runtime_operators(path)) for name, path in files.items()}
        row: dict[str, Any] = {"network": case.name, **left, "bytes": sizes, "operators": counts}
        for batch in BATCHES:
            found = times(
                runs(modules, files, batch, compiled), seconds, cold, least=15 if seconds >= 1 else 2
            )
            row[f"batch {batch}"] = {
                name: {
                    "median_ms": median(values),
                    "interval_ms": interval(values)[1:],
                    "p95_ms": sorted(values)[int(0.95 * (len(values) - 1))],
                    "than_eager": ratio(found["dense, eager"], values),
                    "than_dense_onnx": ratio(found["dense, ONNX Runtime"], values),
                }
                for name, values in found.items()
            }
            qat, static = found["pruned, INT8 by QAT"], found["pruned, INT8"]
            row[f"batch {batch}"]["static over QAT"] = ratio(static, qat)
        return row


def show(row: Mapping[str, Any]) -> None:
    """The table of one network."""
    print(f"\n{row['network']}: {row['macs']:.3f} of {row['dense_macs'] / 1e6:.1f} M MACs, ", end="")
    print(f"{row['params']:.3f} of the parameters kept")
    sizes = row["bytes"]
    for name, size in sizes.items():
        share = sizes["dense, ONNX Runtime"] / size
        print(f"  {name:22s} {size / 1e6:8.2f} MB   1/{share:.1f} of the dense file")
    for batch in BATCHES:
        print(f"  batch {batch:2d}              median       p95   × eager              × dense ONNX")
        for name, found in row[f"batch {batch}"].items():
            if "median_ms" in found:
                times = f"{found['median_ms']:7.2f} ms {found['p95_ms']:7.2f} ms"
                ratios = f"{_ratio(found['than_eager'])}   {_ratio(found['than_dense_onnx'])}"
                print(f"  {name:22s} {times}   {ratios}{_slower(row, batch, name)}")
        print(f"  static over QAT: {_ratio(row[f'batch {batch}']['static over QAT'])}")


def _ratio(found: Mapping[str, float]) -> str:
    return f"{found['value']:5.2f} [{found['low']:5.2f}, {found['high']:5.2f}]"


def _slower(row: Mapping[str, Any], batch: int, name: str) -> str:
    parents = {"INT8": "dense, ONNX Runtime", "pruned": "dense, ONNX Runtime", "pruned, INT8": "pruned"}
    parent = parents.get(name)
    found = row[f"batch {batch}"]
    slower = parent is not None and found[name]["median_ms"] > found[parent]["median_ms"]
    return f"   slower than '{parent}'" if slower else ""


def figures_of(row: Mapping[str, Any]) -> list[Figure]:
    """The figures of one network; the bars are for ResNet-18 at batch 1."""
    held = {
        "than_eager": Bar(sign=">=", limit=15),
        "than_dense_onnx": Bar(sign=">=", limit=8),
        "file": Bar(sign=">=", limit=14),
        "static over QAT": Bar(sign=">=", limit=1),
    }
    name = f"{row['network']}, {100 * row['macs']:.0f} % of the MACs"
    sizes = row["bytes"]
    smaller = sizes["dense, ONNX Runtime"] / sizes["pruned, INT8"]
    bar = held["file"] if row["network"] == BARRED else None
    found = [
        Figure(
            table="pruned and INT8, times smaller",
            row=name,
            over=DENSE_ONNX,
            unit="×",
            value=smaller,
            bar=bar,
        )
    ]
    for batch in BATCHES:
        at, times = f"{name}, batch {batch}", row[f"batch {batch}"]
        both = times["pruned, INT8"]
        compared = (
            ("pruned and INT8, times faster than eager", "than_eager", EAGER, both["than_eager"]),
            (
                "pruned and INT8, times faster than dense",
                "than_dense_onnx",
                DENSE_ONNX,
                both["than_dense_onnx"],
            ),
            (
                "static quantization's time, times that of QAT's file",
                "static over QAT",
                "QAT",
                times["static over QAT"],
            ),
        )
        for table, key, over, value in compared:
            bar = held[key] if row["network"] == BARRED and batch == 1 else None
            found.append(Figure(table=table, row=at, over=over, unit="×", bar=bar, **value))
        for form, form_times in times.items():
            if "median_ms" in form_times:
                low, high = form_times["interval_ms"]
                value = form_times["median_ms"]
                found.append(
                    Figure(table="latency", row=at, of=form, unit="ms", value=value, low=low, high=high)
                )
    return found


def main() -> None:
    """Measure, print, and hand the figures over."""
    parser = parser_of(__doc__)
    parser.add_argument("--only", choices=[case.name for case in CASES], action="append")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--cold", action="store_true")
    given = parser.parse_args()
    if given.quick:
        given.only, given.seconds, given.no_compile = given.only or ["MobileNet-like"], 0.1, True
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    flags = this_processor()[1]
    print(f"{platform.machine()}, VNNI: {', '.join(sorted(flags & VNNI)) or 'no'}; torch {torch.__version__}")
    found: list[Figure] = []
    for case in CASES:
        if given.only and case.name not in given.only:
            continue
        row = measure(case, given.seconds, not given.no_compile, given.cold)
        show(row)
        found += figures_of(row)
    print_bars(found)
    hand_over(given.json, found)


if __name__ == "__main__":
    main()
