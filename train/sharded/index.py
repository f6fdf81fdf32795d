"""What a sharded checkpoint consists of, in ``shards.json``: which file holds which part of which tensor."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    TensorProperties,
    TensorStorageMetadata,
)

from lifecycle.core.canonical import readable_json
from lifecycle.core.errors import ArtifactError
from lifecycle.train.whole_file import INDEX

COMMON = "common.pt"  # what is not divided
FORMAT = 1
Offsets = tuple[int, ...]


def shard_name(rank: int) -> str:
    """The file that holds the parts of a process.

    >>> shard_name(3)
    'shard-00003.pt'
    """
    return f"shard-{rank:05}.pt"


def is_sharded(path: Path) -> bool:
    """Whether a path is that of a whole sharded checkpoint."""
    return (path / INDEX).is_file()


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A part of a tensor.

    Attributes:
        file: Holds it, under the name of the tensor.
        offsets: Where it begins, by axis.
        sizes: Its shape.
        checksum: CRC-32 of its elements.
    """

    file: str
    offsets: Offsets
    sizes: tuple[int, ...]
    checksum: int


@dataclass(frozen=True, kw_only=True)
class Divided:
    """A tensor that lies in several files.

    Attributes:
        dtype: Its type.
        shape: Of the whole.
        chunks: Its parts.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, kw_only=True)
class Index:
    """The contents of a sharded checkpoint.

    Attributes:
        processes: Which wrote it.
        sizes: Bytes by file.
        checksum: CRC-32 of the file of what is not divided.
        tensors: What is divided, by its place in the checkpoint.
    """

    processes: int
    sizes: Mapping[str, int]
    checksum: int
    tensors: Mapping[str, Divided]

    @property
    def metadata(self) -> Metadata:
        """The same for the planners of torch."""
        return Metadata({name: _metadata(tensor) for name, tensor in self.tensors.items()})

    def write(self, path: Path) -> None:
        """Write it."""
        content: dict[str, Any] = {
            "format": FORMAT,
            "processes": self.processes,
            "sizes": dict(self.sizes),
            "checksum": self.checksum,
            "tensors": {name: plain(tensor) for name, tensor in self.tensors.items()},
        }
        path.write_bytes(readable_json(content))


def read_index(folder: Path) -> Index:
    """The index of a folder.

    Raises:
        ArtifactError: it is damaged, of another version, or a file that it lists is missing or of another
            size; says which.
    """
    try:
        content = json.loads((folder / INDEX).read_bytes())
        if content["format"] != FORMAT:
            raise ArtifactError(
                f"{folder / INDEX} has format {content['format']}; this version reads {FORMAT}"
            )
        index = Index(
            processes=content["processes"],
            sizes=content["sizes"],
            checksum=content["checksum"],
            tensors={name: divided(tensor) for name, tensor in content["tensors"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(folder / INDEX, f"it is no index ({error})") from error
    if foreign := {chunk.file for each in index.tensors.values() for chunk in each.chunks} - {*index.sizes}:
        raise damaged(folder / INDEX, f"it does not list {', '.join(sorted(foreign))}")
    for name, size in index.sizes.items():
        path = folder / Path(name).name  # a file beside the index, whatever it says
        if not path.is_file():
            raise damaged(path, "it is missing", of=folder)
        if path.stat().st_size != size:
            raise damaged(path, f"it has {path.stat().st_size:,} bytes, and {size:,} were written", of=folder)
    return index


def damaged(path: Path, what: str, *, of: Path | None = None) -> ArtifactError:
    """A file of a sharded checkpoint is not what was written."""
    return ArtifactError(
        f"checkpoint {of or path.parent}: {path.name} cannot be used: {what}",
        hint="Copy the whole folder again from where it was written, or take an older checkpoint.",
    )


def joined(reports: Iterable[Mapping[str, Divided]]) -> dict[str, Divided]:
    """What several processes have written, together; of equal parts that of the first counts.

    Raises:
        AssertionError: a part of a tensor is in no file.
    """
    found: dict[str, dict[Offsets, Chunk]] = {}
    whole: dict[str, Divided] = {}
    for report in reports:
        for name, tensor in report.items():
            whole.setdefault(name, tensor)
            for chunk in tensor.chunks:
                found.setdefault(name, {}).setdefault(chunk.offsets, chunk)
    for name, chunks in found.items():
        covered = sum(math.prod(chunk.sizes) for chunk in chunks.values())
        assert covered == math.prod(whole[name].shape), f"{name}: {covered} elements of {whole[name].shape}"
    return {
        name: Divided(dtype=tensor.dtype, shape=tensor.shape, chunks=tuple(found.get(name, {}).values()))
        for name, tensor in whole.items()
    }


def _metadata(tensor: Divided) -> TensorStorageMetadata:
    return TensorStorageMetadata(
        properties=TensorProperties(dtype=tensor.dtype),
        size=torch.Size(tensor.shape),
        chunks=[
            ChunkStorageMetadata(offsets=torch.Size(chunk.offsets), sizes=torch.Size(chunk.sizes))
            for chunk in tensor.chunks
        ],
    )


def plain(tensor: Divided) -> dict[str, Any]:
    """As JSON has it."""
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "chunks": [
            {
                "file": chunk.file,
                "offsets": list(chunk.offsets),
                "sizes": list(chunk.sizes),
                "checksum": chunk.checksum,
            }
            for chunk in tensor.chunks
        ],
    }


def divided(content: Mapping[str, Any]) -> Divided:
    """What `plain` was given."""
    dtype = getattr(torch, content["dtype"])
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"there is no type {content['dtype']}")
    return Divided(
        dtype=dtype,
        shape=tuple(content["shape"]),
        chunks=tuple(
            Chunk(
                file=chunk["file"],
                offsets=tuple(chunk["offsets"]),
                sizes=tuple(chunk["sizes"]),
                checksum=chunk["checksum"],
            )
            for chunk in content["chunks"]
        ),
    )
