"""The arguments that a module was made with, kept for its checkpoint."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from types import FrameType


class HyperParameters(dict[str, object]):
    """A dictionary whose entries are attributes too: ``self.hparams.width``."""

    def __getattr__(self, name: str) -> object:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no hyperparameter '{name}'; there are: {', '.join(self)}") from None


def init_arguments(frame: FrameType, ignore: Collection[str]) -> HyperParameters:
    """The arguments of the ``__init__`` running in `frame`, and of those of subclasses that called it.

    Where both take an argument of one name, the subclass's value is kept: it makes the module again.
    """
    found: dict[str, object] = {}
    owner = _owner(frame)
    outer: FrameType | None = frame
    while outer is not None and outer.f_code.co_name == "__init__" and _owner(outer) is owner:
        found |= _arguments(outer)
        outer = outer.f_back
    return HyperParameters({name: value for name, value in found.items() if name not in ignore})


def accepted(cls: type, arguments: Mapping[str, object]) -> dict[str, object]:
    """Those of `arguments` that ``cls.__init__`` takes; the others were its base's."""
    parameters = inspect.signature(cls).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return dict(arguments)
    names = {parameter.name for parameter in parameters}
    return {name: value for name, value in arguments.items() if name in names}


def _owner(frame: FrameType) -> object:
    names = frame.f_code.co_varnames
    return frame.f_locals.get(names[0]) if names else None


def _arguments(frame: FrameType) -> dict[str, object]:
    """By name, keyword arguments spread out."""
    info = inspect.getargvalues(frame)
    found = {name: info.locals[name] for name in info.args[1:]}
    code = frame.f_code
    only = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    found |= {name: info.locals[name] for name in only}
    if info.keywords:
        found |= info.locals[info.keywords]
    return found
