"""What every peer runs: the ONNX file of the case, with the session settings that our server uses."""

from __future__ import annotations

import os
from pathlib import Path

import onnxruntime as ort

from lifecycle.export.session import open_session
from lifecycle.export.settings import RunSettings

BUNDLE = "BENCHMARK_BUNDLE"


def bundle() -> Path:
    """The folder of the case's bundle."""
    return Path(os.environ[BUNDLE])


def session() -> ort.InferenceSession:
    """One thread, no spinning."""
    return open_session(bundle() / "model.onnx", RunSettings(threads=1))
