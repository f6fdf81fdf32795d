from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lifecycle.core.artifact import Artifact
from lifecycle.core.cores import available_cores
from lifecycle.core.signature import Signature, TensorSpec
from lifecycle.export.bundle import write_bundle
from lifecycle.stages.timings import COMPILED, COMPRESSED, DENSE, EAGER, Timing, latencies, slower

SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 4)),),
    outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", 2)),),
)


@pytest.fixture
def bundle(tmp_path: Path) -> tuple[nn.Module, Artifact]:
    torch.manual_seed(0)
    module = nn.Linear(4, 2).eval()
    samples = {"x": np.ones((3, 4), np.float32)}
    return module, write_bundle(
        module, signature=SIGNATURE, formats=["onnx"], samples=samples, into=tmp_path / "bundle"
    )


@pytest.mark.filterwarnings("ignore")  # what torch's compiler says of itself
def test_every_form_batch_and_number_of_threads_is_timed(bundle: tuple[nn.Module, Artifact]) -> None:
    module, file = bundle
    timings, problem = latencies(module, {"dense": file, "compressed": file}, calls=2, compiled=True)
    forms = {EAGER, DENSE, COMPRESSED} if problem else {EAGER, COMPILED, DENSE, COMPRESSED}
    seen = [(timing.form, timing.batch, timing.threads) for timing in timings]
    assert len(seen) == len(set(seen))
    assert set(seen) == {
        (f, batch, count) for f in forms for batch in (1, 16) for count in {1, available_cores()}
    }
    assert all(0 < timing.median_ms <= timing.p95_ms for timing in timings)


def test_a_file_that_became_slower_is_named() -> None:
    def timing(form: str, batch: int, median_ms: float) -> Timing:
        return Timing(form=form, batch=batch, threads=1, median_ms=median_ms, p95_ms=median_ms)

    timings = [timing(DENSE, 1, 0.065), timing(COMPRESSED, 1, 0.071)]
    timings += [timing(DENSE, 16, 2.0), timing(COMPRESSED, 16, 1.0)]
    assert slower(timings) == [
        "the compressed file is slower than the dense one at batch 1 on 1 thread: 0.071 ms against 0.065 ms"
    ]


def test_each_step_is_held_against_the_one_before_it() -> None:
    def timing(name: str, median_ms: float) -> Timing:
        form = f"{name}, ONNX Runtime"
        return Timing(form=form, batch=1, threads=2, median_ms=median_ms, p95_ms=median_ms)

    eager = Timing(form=EAGER, batch=1, threads=2, median_ms=0.01, p95_ms=0.01)
    timings = [eager, timing("dense", 3.0), timing("prune", 1.0), timing("compressed", 2.0)]
    assert slower(timings) == [
        "the compressed file is slower than the prune one at batch 1 on 2 threads: 2.000 ms against 1.000 ms"
    ]
