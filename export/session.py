"""ONNX Runtime sessions, with settings fit for a server that shares its machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.errors import ArtifactError
from lifecycle.core.signature import Signature, TensorSpec, shape_text
from lifecycle.export.formats import Runner

if TYPE_CHECKING:
    import onnxruntime as ort


def open_session(path: Path, *, threads: int = 1, rewrite: bool = True) -> ort.InferenceSession:
    """Load a file that holds all of its own data.

    Args:
        path: The file.
        threads: How many threads one call may use.
        rewrite: Let ONNX Runtime fuse operators and use integer kernels.

    Raises:
        ArtifactError: it is not ONNX, or keeps tensors in other files.
    """
    # Since 1.29 it writes an identity of the machine to the home folder and sends usage to its makers.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime as ort

    content = path.read_bytes()
    _refuse_external_data(path, content)
    options = session_options(threads)
    if not rewrite:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def session_options(threads: int = 1) -> ort.SessionOptions:
    """The settings of every session.

    One inter-op thread and no spinning: a waiting endpoint must not burn the cores of its neighbours.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # fatal only: every error is raised too
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def session_runner(path: Path, session: ort.InferenceSession, signature: Signature) -> Runner:
    """Arrays in, arrays out; raises `ArtifactError` when the file is not as the signature says."""
    check_session(path, session, signature)
    names = [spec.name for spec in signature.outputs]
    return lambda arrays: session.run(names, dict(arrays))


def check_session(path: Path, session: ort.InferenceSession, signature: Signature) -> None:
    """Raise `ArtifactError` unless the file's inputs and outputs are those of the signature, in its order."""
    for kind, found, declared in (
        ("input", session.get_inputs(), signature.inputs),
        ("output", session.get_outputs(), signature.outputs),
    ):
        same_names = [node.name for node in found] == [spec.name for spec in declared]
        if not same_names or not all(map(_agree, found, declared)):
            got = ", ".join(f"{node.name} {_dtype(node)} {shape_text(tuple(node.shape))}" for node in found)
            want = ", ".join(f"{spec.name} {spec.dtype} {shape_text(spec.shape)}" for spec in declared)
            raise ArtifactError(f"{path}: its {kind}s are {got}; the signature's are {want}")


def _agree(node: ort.NodeArg, spec: TensorSpec) -> bool:
    """Whether type and rank are the same and every axis that the file fixes is fixed at the same size."""
    fixed = [axis if isinstance(axis, int) else None for axis in node.shape]
    return (
        _dtype(node) == spec.dtype
        and len(fixed) == len(spec.shape)
        and all(got is None or got == want for got, want in zip(fixed, spec.shape, strict=True))
    )


def _dtype(node: ort.NodeArg) -> str:
    element = str(node.type).removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(element, element)


def _refuse_external_data(path: Path, content: bytes) -> None:
    import onnx

    from lifecycle.export.graph import tensors

    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's DecodeError, which has no public home
        raise ArtifactError(f"{path} is not an ONNX file: {error}") from error
    for tensor in tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ArtifactError(
                f"{path}: tensor '{tensor.name}' lies in another file, which this version does not open",
                hint="Save the model in one file: onnx.save(model, path, save_as_external_data=False).",
            )
