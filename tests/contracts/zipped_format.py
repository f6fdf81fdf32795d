"""A format as another distribution might bring it: ONNX, compressed."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from lifecycle.core.canonical import JSON
from lifecycle.core.errors import ArtifactError
from lifecycle.core.signature import Signature
from lifecycle.export.formats import Format, Runner, Written
from lifecycle.export.inspection import parse
from lifecycle.export.meaning import onnx_meaning
from lifecycle.export.network import Network
from lifecycle.export.settings import RunSettings, WriteSettings
from lifecycle.export.to_onnx import open_onnx, write_onnx


def write(network: Network, path: Path, settings: WriteSettings) -> Written:
    with TemporaryDirectory() as folder:
        plain = Path(folder) / "model.onnx"
        written = write_onnx(network, plain, settings)
        path.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    return written


def read(path: Path, signature: Signature, settings: RunSettings) -> Runner:
    with TemporaryDirectory() as folder:
        return open_onnx(_unpacked(path, Path(folder)), signature, settings)


def meaning(path: Path) -> Mapping[str, JSON]:
    with TemporaryDirectory() as folder:
        return onnx_meaning(_unpacked(path, Path(folder)))


def _unpacked(path: Path, folder: Path) -> Path:
    plain = folder / "model.onnx"
    try:
        plain.write_bytes(gzip.decompress(path.read_bytes()))
        parse(path, plain.read_bytes())
    except (OSError, EOFError) as error:
        raise ArtifactError(f"{path} is not compressed ONNX: {error}") from None
    return plain


ZIPPED = Format(
    name="zipped",
    filename="model.onnxz",
    summary="ONNX, compressed",
    write=write,
    open=read,
    meaning=meaning,
    trusted_only=False,
)
