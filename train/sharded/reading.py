"""Reading a sharded checkpoint: whole, or what another division of its tensors needs of it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner

from lifecycle.core.errors import UsageError
from lifecycle.train.sharded.index import COMMON, Chunk, Offsets, damaged, read_index
from lifecycle.train.sharded.parts import mapped
from lifecycle.train.whole_file import INDEX

BLOCK = 1 << 20


class Shards:
    """A sharded checkpoint; files are mapped into memory, and of them is read what is asked for.

    Args:
        folder: Where it is.

    Attributes:
        index: What it consists of.

    Raises:
        UsageError: there is none.
        ArtifactError: it is damaged; says which file.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / INDEX).is_file():
            raise UsageError(
                f"{folder} is no checkpoint: it has no {INDEX}, which is written last",
                hint="Take another one, or copy the whole folder again from where it was written.",
            )
        self.folder = folder
        self.index = read_index(folder)
        self._files: dict[str, Mapping[str, Tensor]] = {}
        self._chunks: dict[tuple[str, Offsets], Tensor] = {}

    def content(self, map_location: Any = "cpu", *, lazy: bool = False) -> dict[str, Any]:
        """What the checkpoint holds.

        Args:
            map_location: As ``torch.load`` has it.
            lazy: Leave divided tensors where they are, all but the weights, and give `Stored` in their place.

        Raises:
            ArtifactError: a file is damaged; says which.
        """
        path = self.folder / COMMON
        if _checksum_of_file(path) != self.index.checksum:
            raise damaged(path, "it was changed since it was written")
        found = self._load(path, map_location=map_location)

        def put(name: str, value: object) -> object:
            if name not in self.index.tensors:
                return value
            stored = Stored(shards=self, name=name)
            if lazy and not name.startswith("state_dict/"):
                return stored
            return _moved(stored.whole(), map_location)

        return cast("dict[str, Any]", mapped(found, put))

    def fill(self, tensors: Mapping[str, Tensor]) -> None:
        """Read into tensors, each of which may be divided in its own way (`DTensor`).

        Args:
            tensors: By their place in the checkpoint.

        Raises:
            ArtifactError: a file is damaged; says which.
        """
        planner = DefaultLoadPlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
        planner.set_up_planner(dict(tensors), self.index.metadata)
        for item in planner.create_local_plan().items:
            offset = item.storage_index.offset
            assert offset is not None
            part = self._chunk(item.storage_index.fqn, tuple(offset))
            for axis, (start, length) in enumerate(zip(item.storage_offsets, item.lengths, strict=True)):
                part = part.narrow(axis, start, length)
            with torch.no_grad():
                planner.resolve_tensor(item).copy_(part)

    def _chunk(self, name: str, offsets: Offsets) -> Tensor:
        """A part as it was written."""
        found = self._chunks.get((name, offsets))
        if found is None:
            chunk = next(each for each in self.index.tensors[name].chunks if each.offsets == offsets)
            found = self._chunks[name, offsets] = self._read(name, chunk)
        return found

    def _read(self, name: str, chunk: Chunk) -> Tensor:
        path = self.folder / chunk.file
        if chunk.file not in self._files:
            self._files[chunk.file] = self._load(path, map_location="cpu", mmap=True)
        part = self._files[chunk.file].get(name)
        if part is None or tuple(part.shape) != chunk.sizes or checksum(part) != chunk.checksum:
            raise damaged(path, f"the part of {name} in it is not what was written")
        return part

    def _load(self, path: Path, **options: Any) -> Any:
        try:
            return torch.load(path, weights_only=True, **options)
        except Exception as error:
            raise damaged(path, str(error).partition("\n")[0]) from error


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A divided tensor that has not been read.

    Attributes:
        shards: Where it is.
        name: Its place there.
    """

    shards: Shards
    name: str

    @property
    def shape(self) -> torch.Size:
        """Of the whole."""
        return torch.Size(self.shards.index.tensors[self.name].shape)

    @property
    def dtype(self) -> torch.dtype:
        """Its type."""
        return self.shards.index.tensors[self.name].dtype

    def whole(self) -> Tensor:
        """All of it, on the processor."""
        return self.like(torch.empty(self.shape, dtype=self.dtype))

    def like(self, model: Tensor) -> Tensor:
        """As much of it as this process has of another tensor, which may be divided in any way."""
        found = torch.empty_like(model, dtype=self.dtype)
        self.shards.fill({self.name: found})
        return found


def checksum(tensor: Tensor) -> int:
    """CRC-32 of the elements of a tensor on the processor."""
    flat = tensor.detach().contiguous().reshape(-1)
    return zlib.crc32(flat.view(torch.uint8).numpy().data) if flat.numel() else 0


def _checksum_of_file(path: Path) -> int:
    found = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            found = zlib.crc32(block, found)
    return found


def _moved(tensor: Tensor, map_location: Any) -> Tensor:
    return tensor.to(map_location) if isinstance(map_location, str | torch.device) else tensor
