from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import ArtifactError
from lifecycle.core.signature import Signature, TensorSpec
from lifecycle.serve.endpoint import open_endpoint
from tests.serve.bundles import bundle, digits_bundle, expected_logits


def test_an_endpoint_answers_under_its_name(digits: Artifact) -> None:
    endpoint = open_endpoint(digits.path, name="digits", version="3", threads=1)
    assert (endpoint.name, endpoint.version, endpoint.digest) == ("digits", "3", digits.digest)
    images = np.full((2, 1, 8, 8), 5, np.uint8)
    logits = endpoint.model.run({"image": images})["logits"].astype(np.float32)
    np.testing.assert_allclose(logits, expected_logits(images), rtol=1e-5)


def test_a_damaged_bundle_is_refused(bundle_path: Path) -> None:
    digits_bundle(bundle_path)
    with (bundle_path / "model.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ArtifactError, match=r"was altered: model\.onnx differs from its SHA-256"):
        open_endpoint(bundle_path, name="digits", version="3", threads=1)


def test_a_model_that_cannot_run_is_refused_before_anybody_asks_it(bundle_path: Path) -> None:
    signature = Signature(
        inputs=(TensorSpec(name="x", dtype="int64", shape=("batch", 1), range=(7, 7)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", 1)),),
    )
    gather = helper.make_node("Gather", ["table", "x"], ["y"])
    bundle(bundle_path, [gather], signature, {"table": np.zeros(3, np.float32)})
    with pytest.raises(ArtifactError, match=r"the model cannot be run: .*out of data bounds"):
        open_endpoint(bundle_path, name="m", version="1", threads=1)
