from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import ArtifactError
from lifecycle.core.signature import Signature
from lifecycle.export.runtime import open_file
from lifecycle.export.session import open_session
from tests.export.networks import DIGITS, images


def test_what_is_no_onnx_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ArtifactError, match="is not an ONNX file"):
        open_session(path)


@pytest.mark.parametrize(
    "signature",
    [
        replace(DIGITS, outputs=DIGITS.outputs[::-1]),
        replace(DIGITS, inputs=(replace(DIGITS.inputs[0], name="picture"),)),
        replace(DIGITS, inputs=(replace(DIGITS.inputs[0], dtype="float32"),)),
        replace(DIGITS, inputs=(replace(DIGITS.inputs[0], shape=("batch", 1, 8)),)),
        replace(DIGITS, inputs=(replace(DIGITS.inputs[0], shape=("batch", 1, 8, "width")),)),
    ],
    ids=["order", "name", "type", "rank", "frozen axis"],
)
def test_a_file_of_another_signature_is_refused(float_bundle: Artifact, signature: Signature) -> None:
    with pytest.raises(ArtifactError, match=r"its (in|out)puts are .*; the signature's are"):
        open_file(float_bundle.file("model.onnx"), signature, "onnx")


def test_message_shows_both_sides(float_bundle: Artifact) -> None:
    other = replace(DIGITS, inputs=(replace(DIGITS.inputs[0], dtype="float32"),))
    message = (
        "its inputs are image uint8 [batch, 1, 8, 8]; the signature's are image float32 [batch, 1, 8, 8]"
    )
    with pytest.raises(ArtifactError, match=re.escape(message)):
        open_file(float_bundle.file("model.onnx"), other, "onnx")


def test_as_written_runs_no_integer_kernel(integer_bundle: Artifact) -> None:
    path = integer_bundle.file("model.onnx")
    written, run = (
        open_file(path, DIGITS, "onnx", as_written=flag).run(images(40)) for flag in (True, False)
    )
    assert abs(written["logits"] - run["logits"]).max() > 0
