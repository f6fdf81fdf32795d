"""ONNX Runtime sessions, with settings fit for a server that shares its machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.errors import ArtifactError
from lifecycle.core.signature import Signature, TensorSpec, shape_text
from lifecycle.export.formats import Runner
from lifecycle.export.inspection import inspect, parse
from lifecycle.export.settings import CPU, RunSettings

if TYPE_CHECKING:
    import onnxruntime as ort

DEFAULT = RunSettings()


def open_session(
    path: Path, settings: RunSettings = DEFAULT, *, rewrite: bool = True
) -> ort.InferenceSession:
    """Load a file, after a look at what it asks for.

    Args:
        path: The file.
        settings: Threads, memory, optimization, providers.
        rewrite: Let ONNX Runtime fuse operators and use integer kernels.

    Raises:
        ArtifactError: it is not ONNX, or asks for what `inspect` refuses.
    """
    # Since 1.29 it writes an identity of the machine to the home folder and sends usage to its makers.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime as ort

    content = path.read_bytes()
    external = inspect(path, parse(path, content), settings.custom_domains)
    options = session_options(settings)
    if not rewrite:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Only by its path does it find data that lies beside it.
    source = str(path) if external else content
    return ort.InferenceSession(source, options, providers=providers(settings))


def session_options(settings: RunSettings = DEFAULT) -> ort.SessionOptions:
    """The settings of every session.

    One inter-op thread and no spinning: a waiting endpoint must not burn the cores of its neighbours.
    """
    import onnxruntime as ort

    levels = ort.GraphOptimizationLevel
    options = ort.SessionOptions()
    options.intra_op_num_threads = settings.num_threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = settings.arena
    options.graph_optimization_level = {
        "none": levels.ORT_DISABLE_ALL,
        "basic": levels.ORT_ENABLE_BASIC,
        "extended": levels.ORT_ENABLE_EXTENDED,
        "layout": levels.ORT_ENABLE_LAYOUT,
        "all": levels.ORT_ENABLE_ALL,
    }[settings.optimization]
    options.log_severity_level = 4  # fatal only: every error is raised too
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def providers(settings: RunSettings) -> list[str]:
    """Those of the preferred providers that are installed, in order, and the processor's at the end."""
    import onnxruntime as ort

    available = ort.get_available_providers()
    return [*(name for name in settings.providers if name in available and name != CPU), CPU]


def session_runner(path: Path, session: ort.InferenceSession, signature: Signature) -> Runner:
    """Arrays in, arrays out; raises `ArtifactError` when the file is not as the signature says."""
    check_session(path, session, signature)
    names = [spec.name for spec in signature.outputs]
    return lambda arrays: session.run(names, arrays)


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
    return {"float": "float32", "double": "float64", "string": "object"}.get(element, element)
