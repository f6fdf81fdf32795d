from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lifecycle.core.artifact import Artifact, Draft
from lifecycle.core.errors import ArtifactError, LifecycleError, UsageError
from lifecycle.core.signature import Array
from lifecycle.export.runtime import open_file, open_model
from tests.export.networks import DIGITS, digits, images, pairs

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from lifecycle.core.artifact import open_artifact
from lifecycle.export.runtime import open_model
model = open_model(open_artifact(Path(sys.argv[1]), "bundle"))
outputs = model.run({"image": np.zeros((3, 1, 8, 8), np.uint8)})
loaded = [name for name in ("torch", "onnxscript", "torchao") if name in sys.modules]
print(outputs["logits"].shape, loaded)
"""


@pytest.mark.parametrize("format", ["onnx", "torchscript"])
@pytest.mark.parametrize("count", [1, 5, 33])
def test_answers_what_the_module_answers(float_bundle: Artifact, format: str, count: int) -> None:
    outputs = open_model(float_bundle, format).run(images(count))
    with torch.no_grad():
        logits = digits()(torch.from_numpy(images(count)["image"]))
    torch.testing.assert_close(torch.from_numpy(outputs["logits"]), logits, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(outputs["probabilities"].sum(axis=1), 1, rtol=1e-5)


def test_running_onnx_loads_no_torch(float_bundle: Artifact) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(float_bundle.path)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "(3, 10) []"), done.stderr


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (images(2) | {"mask": np.ones(2)}, "input 'mask' is unknown; expected: image"),
        ({}, "input 'image' is missing; expected: image"),
        ({"image": np.zeros((2, 1, 8, 8), np.float32)}, "input 'image': expected uint8, got float32"),
        (
            {"image": np.zeros((2, 8, 8), np.uint8)},
            "input 'image': expected shape [batch, 1, 8, 8], got [2, 8, 8]",
        ),
        ({"image": np.zeros((0, 1, 8, 8), np.uint8)}, "input 'image': shape [0, 1, 8, 8] holds no elements"),
    ],
)
@pytest.mark.parametrize("format", ["onnx", "torchscript"])
def test_wrong_input_says_what_was_expected(
    float_bundle: Artifact, format: str, arrays: dict[str, Array], message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        open_model(float_bundle, format).run(arrays)


def test_arrays_of_any_memory_layout_and_byte_order(pair_bundle: Artifact) -> None:
    given = pairs(4, 6)
    frozen = given["weights"].copy()
    frozen.flags.writeable = False
    layouts = [
        given["weights"].astype(">f4"),
        np.asfortranarray(given["weights"]),
        np.flip(np.flip(given["weights"], 0).copy(), 0),
        frozen,
    ]
    for format in ("onnx", "torchscript"):
        model = open_model(pair_bundle, format)
        expected = model.run(given)["scores"]
        for weights in layouts:
            np.testing.assert_array_equal(model.run(given | {"weights": weights})["scores"], expected)


def test_two_threads_answer_the_same(float_bundle: Artifact) -> None:
    before = torch.get_num_threads()
    for format in ("onnx", "torchscript"):
        one, two = (open_model(float_bundle, format, threads=count).run(images(9)) for count in (1, 2))
        np.testing.assert_allclose(one["logits"], two["logits"], rtol=1e-5, atol=1e-5)
    assert torch.get_num_threads() == before


def test_a_file_that_fails_says_on_what(float_bundle: Artifact) -> None:
    from dataclasses import replace

    wide = replace(DIGITS, inputs=(replace(DIGITS.inputs[0], shape=("batch", "channels", 8, 8)),))
    model = open_file(float_bundle.file("model.ts"), wide, "torchscript")
    with pytest.raises(
        LifecycleError, match=r"the torchscript file failed on image \[2, 3, 8, 8\]: RuntimeError"
    ):
        model.run({"image": np.zeros((2, 3, 8, 8), np.uint8)})


def test_opening_says_what_is_there(float_bundle: Artifact, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no format is called 'onx': did you mean 'onnx'"):
        open_model(float_bundle, "onx")
    with pytest.raises(UsageError, match="threads must be 1 or more, got 0"):
        open_model(float_bundle, threads=0)
    with Draft(tmp_path / "other") as draft:
        (draft.path / "weights").write_bytes(b"")
        checkpoint = draft.seal("checkpoint")
    with pytest.raises(UsageError, match="holds a checkpoint; only a bundle can be run: export it first"):
        open_model(checkpoint)
    with Draft(tmp_path / "bare") as draft:
        (draft.path / "signature.json").write_bytes(b"{}")
        bare = draft.seal("bundle")
    with pytest.raises(ArtifactError, match=r"has no file 'model\.onnx'; it has:"):
        open_model(bare)


@pytest.mark.parametrize("format", ["onnx", "torchscript"])
def test_a_truncated_file_is_named(float_bundle: Artifact, tmp_path: Path, format: str) -> None:
    names = {"onnx": "model.onnx", "torchscript": "model.ts"}
    path = tmp_path / names[format]
    path.write_bytes(float_bundle.file(names[format]).read_bytes()[:-2000])
    with pytest.raises(ArtifactError, match=re.escape(str(path))):
        open_file(path, DIGITS, format)
