"""What compression costs on real data: digits, pruned, recovered and INT8, with a teacher and without.

For each seed a dense network is trained, then pruned to a part of its multiply-accumulates, fine-tuned,
trained through the rounding, and exported; the ONNX file is scored by ONNX Runtime on the 540 test images.
What is printed is the accuracy lost against the dense network of the same seed, in points, as mean over the
seeds with a 95 % interval (Student's t), beside the bar that it is held to. Nothing here looks at the test
images but the score.
"""

from __future__ import annotations

import copy
import logging
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from figures.figure import Bar, Figure
from figures.handover import hand_over, parser_of, print_bars, print_figures

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "examples" / "digits"))

from data import Digits  # noqa: E402  # the example's
from model import ConvNet  # noqa: E402

import lifecycle as pl  # noqa: E402
from lifecycle.callbacks import Distillation, QuantizationAwareTraining, StructuredPruning  # noqa: E402
from lifecycle.compress.cost import count_cost  # noqa: E402
from lifecycle.compress.quantizer import convert_quantized  # noqa: E402
from lifecycle.export.network import Network  # noqa: E402
from lifecycle.export.settings import RunSettings  # noqa: E402
from lifecycle.export.to_onnx import open_onnx, write_onnx  # noqa: E402
from lifecycle.train.describe import arrays, example_inputs  # noqa: E402

BARS = {0.25: 0.4, 0.10: 0.8, 0.05: 1.5}  # points of mean accuracy lost
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
QAT_LR = 5e-4


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long is trained.

    Attributes:
        dense_epochs: The dense network.
        epochs: After pruning.
        qat_epochs: Through the rounding.
        targets: Parts of the multiply-accumulates that remain.
    """

    dense_epochs: int = 30
    epochs: int = 30
    qat_epochs: int = 4
    targets: tuple[float, ...] = tuple(BARS)


def main() -> int:
    """Measure and print; 1 where a bar is missed by what is recovered with a teacher."""
    parser = parser_of(__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="seeds at a time")
    parser.add_argument("--epochs", type=int, default=30, help="of fine-tuning after pruning")
    parser.add_argument("--targets", type=float, nargs="*", default=list(BARS))
    options = parser.parse_args()
    plan = Plan(epochs=options.epochs, targets=tuple(options.targets))
    if options.quick:
        options.seeds, plan = 2, Plan(dense_epochs=2, epochs=1, qat_epochs=1, targets=(0.25,))
    lost: dict[tuple[float, bool], list[float]] = {}
    dense_scores = []
    spawn = multiprocessing.get_context("spawn")  # each begins as a script does, with nothing half done
    with ProcessPoolExecutor(options.jobs, mp_context=spawn) as pool:
        for base, points in pool.map(measure, range(options.seeds), [plan] * options.seeds):
            dense_scores.append(base)
            for key, value in points.items():
                lost.setdefault(key, []).append(value)
    figures = figures_of(lost, dense_scores)
    print(f"{len(dense_scores)} seeds; one image of 540 is 0.19 points")
    print_figures(figures)
    missed = print_bars(figures)
    hand_over(options.json, figures)
    return int(missed > 0)


def measure(seed: int, plan: Plan) -> tuple[float, dict[tuple[float, bool], float]]:
    """One seed: the dense network's accuracy, and the points that each way to compress loses."""
    logging.getLogger("lifecycle").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    started = time.monotonic()
    dense = trained(seed, plan)
    base = score(dense, None)
    points = {
        (target, distill): 100 * (base - compressed(dense, target, seed, plan, distill=distill))
        for target in plan.targets
        for distill in (False, True)
    }
    print(f"seed {seed}: dense {base:.4f}, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return base, points


def trainer(epochs: int, *callbacks: pl.Callback) -> pl.Trainer:
    """Quiet, and the same each time."""
    return pl.Trainer(
        max_epochs=epochs,
        callbacks=list(callbacks),
        deterministic=True,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
    )


def trained(seed: int, plan: Plan) -> ConvNet:
    """A dense network."""
    pl.seed_everything(seed)
    module = ConvNet(width=32)
    trainer(plan.dense_epochs).fit(module, datamodule=Digits())
    return module.eval()


def compressed(dense: ConvNet, macs: float, seed: int, plan: Plan, *, distill: bool) -> float:
    """Accuracy of the INT8 file of a pruned network."""
    pl.seed_everything(seed)
    module = copy.deepcopy(dense).train()
    teacher = [Distillation(copy.deepcopy(dense), temperature=4.0, weight=0.7)] if distill else []
    pruning = StructuredPruning(macs=macs, seed=seed)
    trainer(plan.epochs, *teacher, pruning).fit(module, datamodule=Digits())
    assert (
        count_cost(module, example_inputs(module)).macs
        <= macs * count_cost(dense, example_inputs(dense)).macs
    )
    module.lr = QAT_LR
    data = Digits()
    data.setup("fit")
    inputs = [(images,) for images, _ in data.train_dataloader()]
    trainer(plan.qat_epochs, *teacher, QuantizationAwareTraining(calibration_batches=inputs)).fit(
        module, datamodule=data
    )
    return score(module.eval(), convert_quantized(module))


def score(module: ConvNet, converted: torch.nn.Module | None) -> float:
    """Accuracy of the module's ONNX file on the test images."""
    data = Digits()
    data.setup("test")
    signature = module.signature()
    example = arrays(signature, example_inputs(module))
    network = Network(converted or module, signature, example, postprocess=module.postprocess)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        write_onnx(network, path)
        run = open_onnx(path, signature, RunSettings())
        right = total = 0
        for images, labels in data.test_dataloader():
            logits = torch.from_numpy(run({"image": images.numpy()})[0])
            right += int((logits.argmax(1) == labels).sum())
            total += len(labels)
    return right / total


def figures_of(lost: dict[tuple[float, bool], list[float]], dense: list[float]) -> list[Figure]:
    """Means over the seeds with Student's intervals; the bars are for what is recovered with a teacher."""
    found = []
    for (target, distill), points in lost.items():
        mean = statistics.mean(points)
        half = STUDENT[len(points)] * statistics.stdev(points) / len(points) ** 0.5
        found.append(
            Figure(
                table=f"points of accuracy lost, mean of {len(points)} seeds",
                row=f"{100 * target:.0f} % of the multiply-accumulates, INT8",
                of="with distillation" if distill else "without a teacher",
                over="the dense network",
                unit="points",
                value=mean,
                low=mean - half,
                high=mean + half,
                bar=Bar(sign="<=", limit=BARS[target]) if distill and target in BARS else None,
            )
        )
    table, row = "accuracy on 540 test images", "dense network, float32"
    return [*found, Figure(table=table, row=row, value=statistics.mean(dense))]


if __name__ == "__main__":
    sys.exit(main())
