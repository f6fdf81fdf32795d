"""The arguments that a module was made with, kept for its checkpoint."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from types import FrameType


class HyperParameters(dict[str, object]):
    """A dictionary whose entries are attributes too: ``self.hparams.width``."""

    def __getattr__(self, name: str) -> object:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no hyperparameter '{name}'; there are: {', '.join(self)}") from None


def init_arguments(frame: FrameType, ignore: Collection[str]) -> HyperParameters:
    """The arguments of the ``__init__`` that is running in `frame`, keyword arguments spread out."""
    info = inspect.getargvalues(frame)
    found = {name: info.locals[name] for name in info.args[1:]}
    code = frame.f_code
    only = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    found |= {name: info.locals[name] for name in only}
    if info.keywords:
        found |= info.locals[info.keywords]
    return HyperParameters({name: value for name, value in found.items() if name not in ignore})
