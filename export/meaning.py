"""What a file says of itself: written into it by every format, read without running anything in it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.canonical import JSON, canonical_json
from lifecycle.core.errors import ArtifactError

if TYPE_CHECKING:
    from onnx import ModelProto

PREFIX = "lifecycle."
RECORD = "lifecycle.json"  # below extra/ in the archives of PyTorch
_LIMIT_BYTES = 64 * 2**20


def put_meaning_(model: ModelProto, meaning: Mapping[str, JSON]) -> None:
    """Write each part of the meaning under a key of its own, as JSON, in the metadata of an ONNX model."""
    for name, value in sorted(meaning.items()):
        if value not in (None, "", [], {}):
            model.metadata_props.add(key=f"{PREFIX}{name}", value=canonical_json(value).decode())


def onnx_meaning(path: Path) -> dict[str, JSON]:
    """The meaning in an ONNX file; empty where another program wrote it.

    Raises:
        ArtifactError: it is no ONNX file, or an entry is no JSON.
    """
    from lifecycle.export.inspection import parse

    found: dict[str, JSON] = {}
    for entry in parse(path, path.read_bytes()).metadata_props:
        if entry.key.startswith(PREFIX):
            found[entry.key.removeprefix(PREFIX)] = _json(path, entry.key, entry.value)
    return found


def archive_meaning(path: Path) -> dict[str, JSON]:
    """The meaning in a TorchScript or pt2 archive; empty where another program wrote it.

    Raises:
        ArtifactError: it is no such archive, or the record is no JSON.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for item in archive.infolist():
                if item.filename.endswith(f"/extra/{RECORD}"):
                    if item.file_size > _LIMIT_BYTES:
                        raise ArtifactError(f"{path}: {item.filename} has {item.file_size} bytes")
                    content = _json(path, item.filename, archive.read(item).decode())
                    return dict(content) if isinstance(content, Mapping) else {}
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} is not an archive of PyTorch: {error}") from None
    return {}


def record(meaning: Mapping[str, JSON]) -> str:
    """The meaning as an archive holds it."""
    return canonical_json(meaning).decode()


def _json(path: Path, where: str, text: str) -> JSON:
    try:
        content: JSON = json.loads(text)
    except ValueError as error:
        raise ArtifactError(f"{path}: {where} is not JSON: {error}") from None
    return content
