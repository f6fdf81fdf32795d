"""Plain values and tensors between processes, as JSON or as ``torch.save`` writes them: nothing unpickles."""

from __future__ import annotations

import io
import json
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor

from lifecycle.core.errors import UsageError

_ROOM = 2040  # bytes that are exchanged at once with their number; what is longer is exchanged after it
_TENSOR = "\0tensor"
_DTYPES = {str(dtype): dtype for dtype in (torch.float32, torch.float64)}


def packed(value: object) -> Tensor:
    """A value as bytes, on the processor: text, numbers and what is made of them as JSON, which takes a tenth
    of the time.
    """  # noqa: D205
    try:
        data = b"j" + json.dumps(_told(value)).encode()
    except TypeError:
        buffer = io.BytesIO(b"t")
        buffer.seek(1)
        torch.save(value, buffer)
        data = buffer.getvalue()
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def _told(value: Any) -> Any:
    """A value as JSON has it.

    Raises:
        TypeError: it would come back as something else.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is list:
        return [_told(item) for item in value]
    if kind is dict and _TENSOR not in value and all(type(key) is str for key in value):
        return {key: _told(item) for key, item in value.items()}
    if kind is Tensor and not value.ndim and str(value.dtype) in _DTYPES and not value.requires_grad:
        return {_TENSOR: [str(value.dtype), value.item()]}
    raise TypeError(kind.__name__)


def _untold(found: dict[str, Any]) -> Any:
    if _TENSOR not in found:
        return found
    dtype, number = found[_TENSOR]
    return torch.tensor(number, dtype=_DTYPES[dtype])


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
    content = data.numpy().tobytes()
    if content[:1] == b"j":
        return json.loads(content[1:], object_hook=_untold)
    return torch.load(io.BytesIO(content[1:]), map_location="cpu", weights_only=True)


def gathered(value: object, size: int, group: Any = None) -> list[Any]:
    """The values of all processes, by rank."""
    data = packed(value)
    first = torch.zeros(8 + _ROOM, dtype=torch.uint8)
    first[:8] = torch.tensor([len(data)]).view(torch.uint8)
    first[8 : 8 + len(data)] = data[:_ROOM]
    found = [torch.empty_like(first) for _ in range(size)]
    dist.all_gather(found, first, group=group)
    lengths = [int(each[:8].view(torch.int64)) for each in found]
    parts = [each[8:] for each in found]
    if max(lengths) > _ROOM:
        rest = torch.zeros(max(lengths) - _ROOM, dtype=torch.uint8)
        rest[: max(len(data) - _ROOM, 0)] = data[_ROOM:]
        more = [torch.empty_like(rest) for _ in range(size)]
        dist.all_gather(more, rest, group=group)
        parts = [torch.cat(both) for both in zip(parts, more, strict=True)]
    return [unpacked(part[:length]) for part, length in zip(parts, lengths, strict=True)]


def broadcast(value: object, rank: int, src: int, group: Any = None) -> Any:
    """What the process `src` has."""
    data = checked(value) if rank == src else torch.empty(0, dtype=torch.uint8)
    length = torch.tensor([len(data)])
    dist.broadcast(length, src=src, group=group)
    if rank != src:
        data = torch.empty(int(length), dtype=torch.uint8)
    dist.broadcast(data, src=src, group=group)
    return value if rank == src else cast("Any", unpacked(data))


def stacked(tensor: Tensor, group: Any = None) -> Tensor:
    """A tensor that has one shape and type in all processes, of all of them along a new first axis."""
    tensor = tensor.contiguous()
    found = [torch.empty_like(tensor) for _ in range(dist.get_world_size(group))]
    dist.all_gather(found, tensor, group=group)
    return torch.stack(found)


def check_alike(tensor: Tensor, size: int) -> None:
    """Raise `UsageError` where processes gather tensors of other shapes: gloo would end them all."""
    found = gathered([*tensor.shape, str(tensor.dtype)], size)
    if any(each != found[0] for each in found):
        told = "; ".join(f"process {at}: {each[-1]} {each[:-1]}" for at, each in enumerate(found))
        raise UsageError(
            f"all_gather takes tensors of one shape and type from all processes, and got {told}",
            hint="Samples of an evaluation are shared out, and not repeated: one process may have more. "
            "trainer.strategy.gathered(tensor) is a list of what each has, torchmetrics.CatMetric puts "
            "it together.",
        )


class GatherWithGradients(torch.autograd.Function):
    """Tensors of all processes along a new first axis; gradients are summed up over processes."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: Any) -> Tensor:
        """Gather."""
        ctx.group, ctx.rank = group, dist.get_rank(group)
        return stacked(tensor, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Sum up, and take one's own."""
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total, group=ctx.group)
        return total[ctx.rank], None
