"""What compression costs on real data: digits, pruned, recovered and INT8, with a teacher and without.

For each seed a dense network is trained, then pruned to a part of its multiply-accumulates, fine-tuned,
trained through the rounding, and exported; the ONNX file is scored by ONNX Runtime on the 540 test images.
What is printed is the accuracy lost against the dense network of the same seed, in points, as mean over the
seeds with a 95 % interval (Student's t), beside the bar that it is held to. Nothing here looks at the test
images but the score.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch

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
DENSE_EPOCHS, QAT_EPOCHS, QAT_LR = 30, 4, 5e-4


def main() -> None:
    """Measure, print a line for each setting, and fail if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30, help="of fine-tuning after pruning")
    parser.add_argument("--targets", type=float, nargs="*", default=list(BARS))
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    options = parser.parse_args()
    logging.getLogger("lifecycle").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    lost: dict[tuple[float, bool], list[float]] = {}
    dense_scores = []
    for seed in range(options.seeds):
        started = time.monotonic()
        dense = trained(seed)
        base = score(dense, None)
        dense_scores.append(base)
        for target in options.targets:
            for distill in (False, True):
                points = 100 * (
                    base - compressed(dense, target, seed, distill=distill, epochs=options.epochs)
                )
                lost.setdefault((target, distill), []).append(points)
        print(
            f"seed {seed}: dense {base:.4f}, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True
        )
    report(lost, dense_scores, options.json)


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


def trained(seed: int) -> ConvNet:
    """A dense network."""
    pl.seed_everything(seed)
    module = ConvNet(width=32)
    trainer(DENSE_EPOCHS).fit(module, datamodule=Digits())
    return module.eval()


def compressed(dense: ConvNet, macs: float, seed: int, *, distill: bool, epochs: int) -> float:
    """Accuracy of the INT8 file of a pruned network."""
    pl.seed_everything(seed)
    module = copy.deepcopy(dense).train()
    teacher = [Distillation(copy.deepcopy(dense), temperature=4.0, weight=0.7)] if distill else []
    pruning = StructuredPruning(macs=macs, seed=seed)
    trainer(epochs, *teacher, pruning).fit(module, datamodule=Digits())
    assert (
        count_cost(module, example_inputs(module)).macs
        <= macs * count_cost(dense, example_inputs(dense)).macs
    )
    module.lr = QAT_LR
    data = Digits()
    data.setup("fit")
    inputs = [(images,) for images, _ in data.train_dataloader()]
    trainer(QAT_EPOCHS, *teacher, QuantizationAwareTraining(calibration_batches=inputs)).fit(
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


def report(lost: dict[tuple[float, bool], list[float]], dense: list[float], path: Path | None) -> None:
    """Print the figures; fail where a bar is missed by what is recovered with a teacher."""
    print(f"dense: {statistics.mean(dense):.4f} on 540 images, {len(dense)} seeds; one image is 0.19 points")
    rows, missed = [], []
    for (target, distill), points in lost.items():
        mean = statistics.mean(points)
        half = (
            STUDENT[len(points)] * statistics.stdev(points) / len(points) ** 0.5
            if len(points) in STUDENT
            else 0.0
        )
        bar = BARS.get(target)
        how = "with distillation" if distill else "without"
        print(
            f"INT8, {100 * target:.0f} % of MACs, {how:17}: {mean:+.2f} points lost "
            f"[{mean - half:+.2f}, {mean + half:+.2f}]  bar {bar}"
        )
        rows.append(
            {"macs": target, "distill": distill, "lost": points, "mean": mean, "half": half, "bar": bar}
        )
        if distill and bar is not None and mean > bar:
            missed.append(f"{100 * target:.0f} %")
    if path is not None:
        path.write_text(json.dumps({"dense": dense, "rows": rows}, indent=2))
    if missed:
        sys.exit(f"the bar is missed at {', '.join(missed)} of the multiply-accumulates")


if __name__ == "__main__":
    main()
