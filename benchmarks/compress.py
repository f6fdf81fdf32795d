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
from pathlib import Path
from statistics import median
from typing import Any

import torch
from figures.figure import Bar, Figure
from figures.handover import hand_over, parser_of, print_bars
from figures.spread import ends, interval
from networks import CASES, Case, forms, images
from torch import Tensor, nn

from lifecycle.compress.modes import copied
from lifecycle.compress.processor import VNNI, this_processor
from lifecycle.export.operators import runtime_operators
from lifecycle.export.session import open_session

Run = Callable[[], object]
BATCHES = (1, 16)
SECONDS = 6.0  # of timing for each network and batch
BARRED = "ResNet-18"  # the one that the aims are set for
EAGER, DENSE_ONNX = "PyTorch eager", "the dense FP32 file in ONNX Runtime"


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
    name = f"{row['network']}, {100 * row['macs']:.0f} % of the MACs"
    sizes = row["bytes"]
    smaller = sizes["dense, ONNX Runtime"] / sizes["pruned, INT8"]
    bar = Bar(sign=">=", limit=14) if row["network"] == BARRED else None
    table = "pruned and INT8, times smaller"
    found = [Figure(table=table, row=name, over=DENSE_ONNX, unit="×", value=smaller, bar=bar)]
    for batch in BATCHES:
        at, held = f"{name}, batch {batch}", row["network"] == BARRED and batch == 1
        found += [*_faster(row[f"batch {batch}"], at, held), *_latencies(row[f"batch {batch}"], at)]
    return found


def _faster(times: Mapping[str, Any], at: str, held: bool) -> list[Figure]:
    both = times["pruned, INT8"]
    compared = (
        ("pruned and INT8, times faster than eager", EAGER, both["than_eager"], 15),
        ("pruned and INT8, times faster than dense", DENSE_ONNX, both["than_dense_onnx"], 8),
        ("static quantization's time, times that of QAT's file", "QAT", times["static over QAT"], 1),
    )
    return [
        Figure(
            table=table,
            row=at,
            over=over,
            unit="×",
            bar=Bar(sign=">=", limit=least) if held else None,
            **value,
        )
        for table, over, value, least in compared
    ]


def _latencies(times: Mapping[str, Any], at: str) -> list[Figure]:
    return [
        Figure(
            table="latency",
            row=at,
            of=form,
            unit="ms",
            value=found["median_ms"],
            low=found["interval_ms"][0],
            high=found["interval_ms"][1],
        )
        for form, found in times.items()
        if "median_ms" in found
    ]


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
