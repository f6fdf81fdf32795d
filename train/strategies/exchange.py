"""Plain values and tensors between processes, unpickling nothing: as ``torch.save`` writes them."""

from __future__ import annotations

import io
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor

from lifecycle.core.errors import UsageError


def packed(value: object) -> Tensor:
    """A value as bytes, on the processor."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)


def checked(value: object) -> Tensor:
    """The same of what a user sends.

    Raises:
        UsageError: it is neither plain nor a tensor, nor made of such.
    """
    try:
        found = packed(value)
        unpacked(found)
    except Exception as error:
        raise UsageError(
            f"a {type(value).__name__} cannot go from one process to another: {error}",
            hint="Send numbers, text, lists, dictionaries and tensors.",
        ) from error
    return found


def unpacked(data: Tensor) -> Any:
    """What `packed` was given; its tensors are on the processor."""
    return torch.load(io.BytesIO(data.numpy().tobytes()), map_location="cpu", weights_only=True)


def gathered(value: object, size: int, group: Any = None) -> list[Any]:
    """The values of all processes, by rank."""
    data = packed(value)
    lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(size)]
    dist.all_gather(lengths, torch.tensor([len(data)]), group=group)
    longest = int(max(int(length) for length in lengths))
    filled = torch.zeros(longest, dtype=torch.uint8)
    filled[: len(data)] = data
    found = [torch.empty(longest, dtype=torch.uint8) for _ in range(size)]
    dist.all_gather(found, filled, group=group)
    return [unpacked(each[: int(length)]) for each, length in zip(found, lengths, strict=True)]


def broadcast(value: object, rank: int, src: int, group: Any = None) -> Any:
    """What the process `src` has."""
    data = checked(value) if rank == src else torch.empty(0, dtype=torch.uint8)
    length = torch.tensor([len(data)])
    dist.broadcast(length, src=src, group=group)
    if rank != src:
        data = torch.empty(int(length), dtype=torch.uint8)
    dist.broadcast(data, src=src, group=group)
    return value if rank == src else cast("Any", unpacked(data))


class GatherWithGradients(torch.autograd.Function):
    """Tensors of all processes along a new first axis; gradients are summed up over processes."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: Any) -> Tensor:
        """Gather."""
        ctx.group, ctx.rank = group, dist.get_rank(group)
        found = [torch.empty_like(tensor) for _ in range(dist.get_world_size(group))]
        dist.all_gather(found, tensor, group=group)
        return torch.stack(found)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Sum up, and take one's own."""
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total, group=ctx.group)
        return total[ctx.rank], None
