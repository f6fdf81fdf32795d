"""What the export stage adds, and that training, file and server answer the same to the same raw input."""

from __future__ import annotations

import json
from pathlib import Path
from types import MethodType

import numpy as np
import pytest
import torch
from torch import Tensor

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import UsageError
from lifecycle.core.signature import Signature, TensorSpec
from lifecycle.core.stage import Context
from lifecycle.export.runtime import open_model
from lifecycle.serve.dataplane import DataPlane
from lifecycle.stages.export import described, export_checkpoint
from lifecycle.stages.inputs import record_inputs, samples
from lifecycle.stages.score import FileForward
from lifecycle.train.artifact import open_checkpoint
from tests.export.zoo import KINDS
from tests.serve.asking import Local, array


def test_training_file_and_server_agree_on_the_same_raw_pixels(
    context: Context, checkpoint: Artifact, tmp_path: Path
) -> None:
    bundle = export_checkpoint(checkpoint, tmp_path / "bundle", context, ("onnx", "torchscript", "pt2"), {})
    module = open_checkpoint(checkpoint)
    seen = record_inputs(module, context, "val", batches=1)
    raw = seen[0][0][:6]
    assert raw.dtype == torch.uint8, "as the loader gives them to training"
    with torch.no_grad():
        logits = module(raw)
        expected = {"logits": logits, **module.postprocess(logits)}
    answers = [
        open_model(bundle, format).run({"image": raw.numpy()}) for format in ("onnx", "torchscript", "pt2")
    ]
    image = {"name": "image", "shape": list(raw.shape), "datatype": "UINT8", "data": raw.flatten().tolist()}
    answered = Local(DataPlane()).open(bundle).post("/v2/models/m/infer", {"inputs": [image]}).json()
    answers.append({output["name"]: array(output) for output in answered["outputs"]})
    for outputs in answers:
        assert set(outputs) == {"logits", "probabilities"}
        for name, right in expected.items():
            np.testing.assert_allclose(outputs[name], right, rtol=1e-4, atol=1e-5)


def test_statistics_are_those_of_the_training_data_and_always_the_same(
    context: Context, checkpoint: Artifact
) -> None:
    module = open_checkpoint(checkpoint)
    state = torch.get_rng_state()
    first, again = (described(checkpoint, module, context).statistics["image"] for _ in range(2))
    assert first == again
    assert torch.equal(torch.get_rng_state(), state), "nobody else's random numbers change"
    data = context.data()
    data.setup("fit")
    images = np.stack([image.numpy() for image, _ in data.train])
    assert first.samples == len(images) // 64 * 64, "its loader leaves the last, smaller batch out"
    assert first.mean == pytest.approx(images.mean(), rel=0.01)
    assert (first.min, first.max) == (images.min(), images.max())


def test_batches_of_several_lengths_are_cut_to_the_shortest() -> None:
    signature = KINDS["transformer"].signature
    given = [
        (torch.zeros(2, length, dtype=torch.int64), torch.ones(2, length, dtype=torch.bool))
        for length in (7, 5)
    ]
    found = samples(signature, given, 3)
    assert (found["ids"].shape, found["mask"].shape) == ((3, 5), (3, 5))


def test_an_axis_that_varies_in_the_data_must_be_named() -> None:
    fixed = Signature(
        inputs=(TensorSpec(name="ids", dtype="int64", shape=("batch", 7)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=("batch",)),),
    )
    given = [(torch.zeros(2, length, dtype=torch.int64),) for length in (7, 5)]
    with pytest.raises(UsageError) as caught:
        samples(fixed, given, 3)
    assert str(caught.value) == (
        "the data gives input 'ids' as [2, 5], and the signature fixes axis 1 at 7: [batch, 7]\n"
        "If that axis varies, name it in signature(): shape=(…, 'length', …) at 1."
    )


def test_a_step_may_call_forward_by_name(context: Context, checkpoint: Artifact, tmp_path: Path) -> None:
    bundle = export_checkpoint(checkpoint, tmp_path / "bundle", context, ("onnx",), {})
    module = open_checkpoint(checkpoint)
    raw = record_inputs(module, context, "val", batches=1)[0][0]
    by_name = open_checkpoint(checkpoint)

    def validation_step(self: object, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        by_name(image=batch[0])

    by_name.validation_step = MethodType(validation_step, by_name)
    assert torch.equal(record_inputs(by_name, context, "val", batches=1)[0][0], raw)
    forward = FileForward(module, open_model(bundle))
    assert torch.equal(forward(image=raw), forward(raw))


def test_the_signature_of_a_file_can_be_read_by_a_stranger(
    context: Context, checkpoint: Artifact, tmp_path: Path
) -> None:
    import onnxruntime as ort

    bundle = export_checkpoint(checkpoint, tmp_path / "bundle", context, ("onnx",), {})
    entries = ort.InferenceSession(bundle.file("model.onnx")).get_modelmeta().custom_metadata_map
    told = {key: json.loads(text) for key, text in entries.items()}
    assert told["lifecycle.parent"] == checkpoint.digest
    assert told["lifecycle.labels"] == list("0123456789")
    assert told["lifecycle.inputs"][0]["range"] == [0, 16]
    assert told["lifecycle.statistics"]["image"]["samples"] > 900
