"""Forwards that go one way or another: what the way not taken holds cannot be pruned with the rest."""

from __future__ import annotations

import traceback
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lifecycle.compress.outputs import LAYERS
from lifecycle.core.errors import UsageError
from lifecycle.train.modes import mode_of


def check_branches(module: nn.Module, example: tuple[Tensor, ...]) -> None:
    """Refuse a forward that asks a tensor which way to go and leaves layers out on the example.

    A check that only ever raises (``assert x.min() >= 0``) leaves nothing out and is no harm.

    Args:
        module: Run once in evaluation mode.
        example: Inputs of forward.

    Raises:
        UsageError: names the place and the layers that were not reached.
    """
    reached: set[nn.Module] = set()
    layers = {part: name for name, part in module.named_modules() if isinstance(part, LAYERS)}
    handles = [part.register_forward_hook(lambda part, *_: reached.add(part)) for part in layers]
    questions = _Questions()
    try:
        with mode_of(module, training=False), torch.no_grad(), questions:
            module(*example)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise UsageError(
            f"forward of {type(module).__name__} fails on the example input of shape "
            f"{', '.join(str(tuple(tensor.shape)) for tensor in example)}: {error}",
            hint="correct example_input_array or signature(): it is what the module is traced with",
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    missed = [name for part, name in layers.items() if part not in reached]
    if questions.place and missed:
        raise UsageError(
            f"forward of {type(module).__name__} branches on data at {questions.place}, and the example does "
            f"not reach {', '.join(missed[:5])}: what depends on their channels cannot be told",
            hint="choose with torch.where, or decide by something else than a tensor's values",
        )


class _Questions(TorchFunctionMode):
    """Remembers where a tensor was first asked whether it is true."""

    place = ""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__bool__ and not self.place:
            frames = [frame for frame in traceback.extract_stack() if "/torch/" not in frame.filename]
            asking = next((f for f in reversed(frames) if f.filename != __file__), frames[-1])
            self.place = f"{asking.filename}:{asking.lineno}"
        return func(*args, **(kwargs or {}))
