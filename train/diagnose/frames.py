"""What the frames of an error's traceback still show, for a step that does not fail a second time."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import FrameType

from torch import nn

from lifecycle.train.diagnose.scene import Layer, Operation, Scene


def scene_of(error: Exception, module: nn.Module) -> Scene:
    """The layers whose ``forward`` was running, and the function of ``torch.nn.functional`` that raised."""
    names = {id(part): name for name, part in module.named_modules()}
    layers: list[Layer] = []
    failed: Operation | None = None
    arguments: tuple[object, ...] = ()
    for frame in _frames(error):
        given = _arguments(frame)
        owner = given[0] if given else None
        if isinstance(owner, nn.Module) and frame.f_code.co_name == "forward":
            layers.append(Layer(names.get(id(owner), ""), owner, given[1:]))
        elif frame.f_globals.get("__name__") == "torch.nn.functional" and failed is None:
            innermost = layers[-1] if layers else None
            failed = Operation(name=frame.f_code.co_name, layer=innermost, inputs=(), makers=())
            arguments = given
    return Scene(error=error, root=module, layers=layers, failed=failed, arguments=arguments)


def _frames(error: Exception) -> Iterator[FrameType]:
    """From the outermost to the one that raised."""
    traceback = error.__traceback__
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def _arguments(frame: FrameType) -> tuple[object, ...]:
    info = inspect.getargvalues(frame)
    return tuple(info.locals.get(name) for name in info.args)
