"""What evaluate scores is the file: not the module's weights, not a step that goes around forward."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from lifecycle.core.artifact import Artifact, Draft
from lifecycle.core.errors import UsageError
from lifecycle.core.stage import Context
from lifecycle.export.bundle import write_bundle
from lifecycle.export.runtime import open_model
from lifecycle.stages.export import export_checkpoint
from lifecycle.stages.inputs import record_inputs
from lifecycle.stages.score import in_limits, score_bundle
from lifecycle.train.artifact import open_checkpoint
from tests.export.zoo import KINDS


def test_weights_edited_in_the_file_change_the_score(
    context: Context, checkpoint: Artifact, tmp_path: Path
) -> None:
    bundle = export_checkpoint(checkpoint, tmp_path / "bundle", context, ("onnx",), {})
    before = score_bundle(checkpoint, bundle, context)
    model = onnx.load(bundle.file("model.onnx"))
    bias = next(t for t in model.graph.initializer if list(t.dims) == [10])
    zero_always = numpy_helper.to_array(bias) + np.array([9] + 9 * [0], np.float32)
    bias.CopyFrom(numpy_helper.from_array(zero_always, bias.name))
    with Draft(tmp_path / "edited") as draft:
        onnx.save(model, draft.path / "model.onnx")
        (draft.path / "signature.json").write_bytes(bundle.file("signature.json").read_bytes())
        edited = draft.seal("bundle")
    after = score_bundle(checkpoint, edited, context)
    assert set(after.predictions) == {0}
    assert after.metrics["test_loss"] > before.metrics["test_loss"]


def test_a_step_that_goes_around_forward_is_an_error(
    context: Context, checkpoint: Artifact, tmp_path: Path
) -> None:
    bundle = export_checkpoint(checkpoint, tmp_path / "bundle", context, ("onnx",), {})
    code = checkpoint.path / "code" / "model.py"
    with Draft(tmp_path / "around") as draft:
        for name in ("weights.safetensors", "recipe.json", "signature.json"):
            (draft.path / name).write_bytes(checkpoint.file(name).read_bytes())
        (draft.path / "code").mkdir()
        around = code.read_text().replace("logits = self(images)", "logits = ConvNet.forward(self, images)")
        (draft.path / "code" / "model.py").write_text(around)
        bypassing = draft.seal("checkpoint")
    with pytest.raises(UsageError, match=r"ConvNet.test_step never called forward for batch 0"):
        score_bundle(bypassing, bundle, context)
    with pytest.raises(UsageError, match=r"ConvNet.validation_step never calls forward"):
        record_inputs(open_checkpoint(bypassing), context, "val", batches=1)


def test_recorded_inputs_are_what_the_step_gives_to_forward(context: Context, checkpoint: Artifact) -> None:
    module = open_checkpoint(checkpoint)
    inputs = record_inputs(module, context, "val", batches=2)
    assert [tuple(batch[0].shape) for batch in inputs] == [(130, 1, 8, 8), (130, 1, 8, 8)]
    assert inputs[0][0].dtype == torch.uint8
    assert "forward" not in vars(module), "the module is left as it was"


def test_a_batch_larger_than_the_file_takes_is_run_in_parts(tmp_path: Path) -> None:
    kind = KINDS["transformer"]
    bundle = write_bundle(
        kind.module(), signature=kind.signature, formats=["onnx"], samples=kind.samples(), into=tmp_path / "b"
    )
    model = open_model(bundle)
    given = kind.samples(37)
    with pytest.raises(UsageError, match="axis 'batch' is 37; this model takes 1 to 16"):
        model.run(given)
    whole = in_limits(model, given)["logits"]
    assert whole.shape == (37, 3)
    first = model.run({name: array[:16] for name, array in given.items()})["logits"]
    np.testing.assert_allclose(whole[:16], first, rtol=1e-5, atol=1e-6)
