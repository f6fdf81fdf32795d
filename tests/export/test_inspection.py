"""Files that ask for what no file may: each is refused before a runtime sees it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from lifecycle.core.artifact import Artifact, open_artifact
from lifecycle.core.errors import ArtifactError
from lifecycle.export.bundle import write_bundle
from lifecycle.export.inspection import inspect, parse
from lifecycle.export.runtime import open_file, open_model
from lifecycle.export.session import open_session
from lifecycle.export.settings import RunSettings, WriteSettings
from tests.export.networks import DIGITS, digits, images


@pytest.fixture
def model(float_bundle: Artifact) -> ModelProto:
    return onnx.load(float_bundle.file("model.onnx"))


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "sub/weights", "..", "..\\secret"])
def test_data_outside_its_folder_is_refused(model: ModelProto, tmp_path: Path, location: str) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    path = folder / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=1024)
    edited = onnx.load(path, load_external_data=False)
    moved = [tensor for tensor in edited.graph.initializer if tensor.external_data]
    for tensor in moved:
        next(entry for entry in tensor.external_data if entry.key == "location").value = location
    path.write_bytes(edited.SerializeToString())
    message = f"{path}: tensor '{moved[0].name}' lies in '{location}', outside the file's own folder"
    with pytest.raises(ArtifactError, match=re.escape(message)):
        open_session(path)


def test_a_data_file_that_is_a_link_missing_or_short_is_refused(model: ModelProto, tmp_path: Path) -> None:
    path, data = tmp_path / "model.onnx", tmp_path / "weights"
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=1024)
    open_session(path)
    whole = data.read_bytes()
    data.write_bytes(whole[:-8])
    with pytest.raises(ArtifactError, match=rf"ends at byte {len(whole)} of 'weights', which has"):
        open_session(path)
    data.rename(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="its data file 'weights' is not there"):
        open_session(path)
    data.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="its data file 'weights' is a link"):
        open_session(path)


def custom_operator(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("Spy", ["image"], ["seen"], domain="evil.corp"))
    model.opset_import.append(helper.make_opsetid("evil.corp", 1))


def huge_constant(model: ModelProto) -> None:
    shape = numpy_helper.from_array(np.array([1 << 20, 1 << 20]), "huge")
    model.graph.initializer.append(shape)
    model.graph.node.append(helper.make_node("ConstantOfShape", ["huge"], ["made"]))


def claimed_shape(model: ModelProto) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT)
    tensor.dims[0] *= 1000


def endless_shape(model: ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [1 << 40]


def huge_output(model: ModelProto) -> None:
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 1 << 40


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (custom_operator, "operator evil.corp.Spy is not ONNX's own"),
        (huge_constant, "ConstantOfShape 'made' makes a tensor of shape [1048576, 1048576]"),
        (claimed_shape, "claims the shape"),
        (endless_shape, "claims the shape [1099511627776]"),
        (huge_output, "'logits' claims the shape [0, 1099511627776]"),
    ],
)
def test_absurd_sizes_and_foreign_operators_are_refused(
    model: ModelProto, tmp_path: Path, edit: Callable[[ModelProto], None], message: str
) -> None:
    edit(model)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ArtifactError, match=re.escape(message)) as caught:
        open_session(path)
    assert str(path) in str(caught.value)


def test_operators_of_a_domain_that_was_allowed_pass(model: ModelProto, tmp_path: Path) -> None:
    custom_operator(model)
    assert inspect(tmp_path / "model.onnx", model, frozenset({"evil.corp"})) is False


def test_an_empty_file_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="it names no operator set; it is empty or cut short"):
        parse(tmp_path / "model.onnx", b"")


def test_weights_too_large_for_one_file_lie_beside_it(tmp_path: Path) -> None:
    bundle = write_bundle(
        digits(),
        signature=DIGITS,
        formats=["onnx"],
        samples=images(9),
        into=tmp_path / "bundle",
        settings=WriteSettings(external_bytes=10_000),
    )
    assert bundle.file("model.onnx.data").stat().st_size > 10_000
    assert bundle.facts["size_bytes"]["onnx"] > 20_000
    assert open_model(open_artifact(bundle.path)).run(images(3))["logits"].shape == (3, 10)


@pytest.mark.parametrize("format", ["torchscript", "pt2"])
def test_code_is_run_only_where_a_manifest_vouches_for_it(tmp_path: Path, format: str) -> None:
    bundle = write_bundle(
        digits(), signature=DIGITS, formats=[format], samples=images(9), into=tmp_path / "bundle"
    )
    opened = open_artifact(bundle.path)
    file = next(bundle.path.glob("model.*"))
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(ArtifactError, match=rf"{file.name} is not the file that manifest.json names"):
        open_model(opened, format)
    with pytest.raises(ArtifactError, match=rf"was altered: {file.name} differs from its SHA-256"):
        open_artifact(bundle.path)


def test_settings_reach_the_runtime(float_bundle: Artifact) -> None:
    path = float_bundle.file("model.onnx")
    preferred = RunSettings(
        threads=2,
        arena=False,
        optimization="basic",
        providers=("CUDAExecutionProvider", "CPUExecutionProvider"),
    )
    session = open_session(path, preferred)
    options = session.get_session_options()
    assert (options.intra_op_num_threads, options.enable_cpu_mem_arena) == (2, False)
    assert options.graph_optimization_level == onnxruntime_level("ORT_ENABLE_BASIC")
    assert session.get_providers() == ["CPUExecutionProvider"]  # the other is not installed
    open_file(path, DIGITS, "onnx", settings=preferred).run(images(2))


def onnxruntime_level(name: str) -> object:
    import onnxruntime as ort

    return getattr(ort.GraphOptimizationLevel, name)
