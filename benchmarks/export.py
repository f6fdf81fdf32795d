"""What our runtime adds to a call of plain ONNX Runtime, checks of the input included.

The same file is run in one process by ``lifecycle.export.runtime.open_model`` and by a bare
``InferenceSession`` with the same settings, one call of each in turn, the order drawn anew each round.
Reported is the median over rounds of the difference, with its 95 % confidence interval from order statistics.

Target: at most 10 µs a call. Exit code 1 when it is missed. Figures go to the file named by ``--json``.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import numpy as np
import torch
from figures.figure import Bar, Figure
from figures.handover import hand_over, parser_of, print_bars
from torch import Tensor, nn

from lifecycle.core.signature import Array, Signature, TensorSpec
from lifecycle.export.benchmark import measure_latency, median_interval
from lifecycle.export.bundle import write_bundle
from lifecycle.export.runtime import open_model
from lifecycle.export.session import session_options
from lifecycle.export.settings import RunSettings

TARGET_US = 10.0
ROUNDS = 4000


class Image(nn.Module):
    """One input and two outputs, as a classifier of images has."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.head = nn.Linear(8, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Scores of raw pixels."""
        return self.head(self.conv(image.float() / 16).relu().mean((2, 3)))

    def postprocess(self, outputs: Tensor) -> dict[str, Tensor]:
        """Probabilities beside the scores."""
        return {"probabilities": outputs.softmax(1)}


class Tokens(nn.Module):
    """Three inputs of two dynamic axes with limits, as an encoder of texts has."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(100, 8)
        self.kinds = nn.Embedding(2, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, ids: Tensor, kinds: Tensor, mask: Tensor) -> Tensor:
        """Scores of a text's tokens."""
        return self.head(((self.words(ids) + self.kinds(kinds)) * mask.unsqueeze(-1)).mean(1))


IMAGE = Signature(
    inputs=(TensorSpec(name="image", dtype="uint8", shape=("batch", 1, 8, 8), range=(0, 16)),),
    outputs=(
        TensorSpec(name="logits", dtype="float32", shape=("batch", 10)),
        TensorSpec(name="probabilities", dtype="float32", shape=("batch", 10)),
    ),
)
TOKENS = Signature(
    inputs=(
        TensorSpec(name="ids", dtype="int64", shape=("batch", "length"), range=(0, 99)),
        TensorSpec(name="kinds", dtype="int64", shape=("batch", "length"), range=(0, 1)),
        TensorSpec(name="mask", dtype="float32", shape=("batch", "length"), range=(0, 1)),
    ),
    outputs=(TensorSpec(name="logits", dtype="float32", shape=("batch", 3)),),
    axes={"batch": (1, 64), "length": (1, 128)},
)


def main() -> int:
    """Measure both, print, and say whether the target holds."""
    import onnxruntime as ort

    options = parser_of(__doc__).parse_args()
    rounds = 20 if options.quick else ROUNDS
    torch.manual_seed(0)
    torch.set_num_threads(1)
    found: list[Figure] = []
    cases = (
        ("one input of one dynamic axis", Image(), IMAGE),
        ("three inputs, two dynamic axes with limits", Tokens(), TOKENS),
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, module, signature in cases:
            generator = np.random.default_rng(0)
            samples = {spec.name: spec.random(generator, batch=8, length=12) for spec in signature.inputs}
            bundle = write_bundle(
                module,
                signature=signature,
                formats=["onnx"],
                samples=samples,
                into=Path(folder) / str(len(found)),
            )
            ours = open_model(bundle, threads=1)
            file = str(bundle.file("model.onnx"))
            bare = ort.InferenceSession(file, session_options(RunSettings(threads=1)))
            one = {key: value[:1] for key, value in samples.items()}
            found += compared(
                name, lambda m=ours, x=one: m.run(x), lambda s=bare, x=one: s.run(None, x), rounds
            )
    missed = print_bars(found)
    hand_over(options.json, found)
    return int(missed > 0)


def compared(
    name: str, ours: Callable[[], Mapping[str, Array]], bare: Callable[[], object], rounds: int
) -> list[Figure]:
    """What a call takes, and what is added to it."""
    measured = measure_latency({"ours": ours, "bare": bare}, calls=rounds, warm_up=min(200, rounds))
    pairs = zip(measured["ours"].times_ms, measured["bare"].times_ms, strict=True)
    added = [(one - other) * 1000 for one, other in pairs]
    low, high = median_interval(added)
    plain = measured["bare"]
    common = {"row": name, "unit": "µs"}
    print(
        f"{name}: plain ONNX Runtime {plain.median_ms * 1000:.1f} µs; ours adds {median(added):.2f} µs "
        f"({low:.2f} to {high:.2f})"
    )
    return [
        Figure(
            **common,
            table="added to a call, checks included",
            over="ONNX Runtime",
            value=median(added),
            low=low,
            high=high,
            bar=Bar(sign="<=", limit=TARGET_US),
        ),
        Figure(
            **common,
            table="a call of plain ONNX Runtime",
            of="ONNX Runtime",
            value=plain.median_ms * 1000,
            low=plain.low_ms * 1000,
            high=plain.high_ms * 1000,
        ),
    ]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
