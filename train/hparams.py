"""The arguments that a module or data module was made with, kept for its checkpoint."""

from __future__ import annotations

import copy
import csv
import inspect
import warnings
from argparse import Namespace
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Self, cast

import torch
from torch import Tensor

from lifecycle.core.errors import UsageError, suggest

_KEPT = (type(None), bytes, Tensor, torch.dtype, torch.device, torch.Size)


class HyperParameters(dict[str, Any]):
    """A dictionary whose entries are attributes too: ``self.hparams.width``."""

    _argument: str | None = None  # the one argument of ``__init__`` that held them all

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no hyperparameter '{name}'; there are: {', '.join(self)}") from None

    def __setattr__(self, name: str, value: object) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self:
            raise AttributeError(f"no hyperparameter '{name}'; there are: {', '.join(self)}")
        del self[name]

    def copied(self) -> Self:
        """A deep copy: it stays as it is when these change."""
        return copy.deepcopy(self)


def saved(
    before: HyperParameters,
    given: Sequence[object],
    ignore: Sequence[str] | str | None,
    frame: FrameType | None,
) -> HyperParameters:
    """What ``save_hyperparameters`` keeps.

    Args:
        before: What was kept already, by a base class, say.
        given: Nothing for all arguments of ``__init__``; names of some; or one dictionary or namespace.
        ignore: Names of arguments that are not kept, whoever kept them before.
        frame: That of ``__init__``, or of a method that it called.

    Raises:
        UsageError: a name is none of an argument's, or what was given is neither a name nor a dictionary.
    """
    if len(given) == 1 and not given[0]:
        return before
    ignored = {ignore} if isinstance(ignore, str) else set(ignore or ())
    arguments = init_arguments(frame, ignored) if frame is not None else HyperParameters()
    others = [item for item in given if not isinstance(item, str)]
    chosen: Mapping[str, object] = arguments
    name = None
    if others:
        chosen = _as_mapping(others)
        name = next((key for key, value in arguments.items() if value is others[0]), None)
    elif given:
        names = cast("Sequence[str]", given)
        if unknown := [key for key in names if key not in arguments]:
            raise UsageError(
                f"save_hyperparameters('{unknown[0]}'): __init__ has no such argument; "
                f"{suggest(unknown[0], arguments)}"
            )
        chosen = {key: arguments[key] for key in names}
    kept = {key: value for key, value in {**before, **chosen}.items() if key not in ignored}
    found = HyperParameters(kept)
    object.__setattr__(found, "_argument", name)
    return found


def _as_mapping(others: Sequence[object]) -> Mapping[str, object]:
    (item, *more) = others
    if isinstance(item, Namespace):
        item = vars(item)
    if more or not isinstance(item, Mapping):
        got = ", ".join(type(other).__name__ for other in others)
        raise UsageError(
            f"save_hyperparameters() got {got}: expected names of arguments, or one dictionary or namespace"
        )
    return item


def init_arguments(frame: FrameType, ignore: Collection[str]) -> HyperParameters:
    """The arguments of the ``__init__`` running in `frame`, and of those of subclasses that called it.

    Where both take an argument of one name, the subclass's value is kept: it makes the module again.
    """
    owner = _owner(frame)
    found: dict[str, object] = {}
    if is_dataclass(owner) and not isinstance(owner, type):
        found = {field.name: getattr(owner, field.name) for field in fields(owner) if field.init}
    else:
        outer: FrameType | None = frame
        while outer is not None and not _is_init(outer, owner):
            outer = outer.f_back
        while outer is not None and _is_init(outer, owner):
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


def merged(first: HyperParameters, *others: HyperParameters) -> dict[str, object]:
    """The hyperparameters of several as one.

    Raises:
        UsageError: they disagree about one.
    """
    found = dict(first)
    for other in others:
        for name, value in other.items():
            if name in found and not _same(found[name], value):
                raise UsageError(
                    f"hyperparameter '{name}' is {found[name]!r} for the module and {value!r} for its data; "
                    "logged together, they need names of their own",
                    hint="Pass logger=False to one of the two calls of save_hyperparameters.",
                )
            found[name] = value
    return found


def checkpointed(hparams: HyperParameters, prefix: str = "") -> dict[str, object]:
    """What a checkpoint keeps of them, under Lightning's keys; `prefix` is ``datamodule_`` for data.

    What is neither tensor nor plain value (a module, an object of the user's) is left out with a warning, so
    that the file can be read without running code; paths are kept as text.
    """
    kept, odd = {}, []
    for name, value in hparams.items():
        try:
            kept[name] = _plain(value)
        except TypeError:
            odd.append(f"'{name}' ({type(value).__name__})")
    if odd:
        warnings.warn(
            f"checkpoints keep tensors and plain values, and leave out the hyperparameter {', '.join(odd)}: "
            "pass it to load_from_checkpoint, and to save_hyperparameters(ignore=...) to keep this quiet",
            stacklevel=2,
        )
    if not hparams:
        return {}
    content: dict[str, object] = {f"{prefix}hyper_parameters": kept}
    if hparams._argument is not None:
        content[f"{prefix}hparams_name"] = hparams._argument
    return content


def _plain(value: object) -> object:
    """The value as ``torch.load(weights_only=True)`` can give it back.

    Raises:
        TypeError: it is, or holds, an object that only unpickling could bring back.
    """
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str):
        return str.__str__(value)  # of an enumeration the value
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set) and type(value) in (list, tuple, set):
        return type(value)(_plain(item) for item in value)
    numbers: tuple[type[Any], ...] = (bool, int, float, complex)
    for kind in numbers:
        if isinstance(value, kind):  # numpy's too
            return kind(value)
    if isinstance(value, _KEPT) or type(value) in torch.serialization.get_safe_globals():
        return value
    raise TypeError(type(value).__name__)


def arguments_from(
    content: Mapping[str, Any],
    cls: type,
    overrides: Mapping[str, object],
    prefix: str = "",
    hparams_file: str | Path | None = None,
) -> dict[str, object]:
    """The arguments to make `cls` with: those of a checkpoint or a file, and others that replace them."""
    kept = content.get(f"{prefix}hyper_parameters", {}) if hparams_file is None else _read(Path(hparams_file))
    name = content.get(f"{prefix}hparams_name")
    parameter = inspect.signature(cls).parameters.get(str(name))
    if parameter is not None and parameter.kind is not parameter.VAR_KEYWORD:  # Lightning writes "kwargs"
        return {str(name): HyperParameters({**kept, **overrides}), **accepted(cls, overrides)}
    return {**accepted(cls, kept), **overrides}


def _read(path: Path) -> dict[str, object]:
    """Hyperparameters of a ``.yaml`` or ``.csv`` file, as the loggers write them."""
    import yaml

    if not path.is_file():
        raise UsageError(f"hparams_file={str(path)!r}: there is no such file")
    with path.open(newline="") as file:
        if path.suffix == ".csv":
            rows = list(csv.reader(file))[1:]  # below the names of the columns
            return {key: yaml.safe_load(value) for key, value in rows}
        if path.suffix in (".yaml", ".yml"):
            return cast("dict[str, object]", yaml.safe_load(file) or {})
    raise UsageError(f"hparams_file={str(path)!r}: expected a .yaml or .csv file")


def _same(first: object, second: object) -> bool:
    if isinstance(first, Tensor) or isinstance(second, Tensor):
        return first is second
    return type(first) is type(second) and first == second


def _is_init(frame: FrameType, owner: object) -> bool:
    return frame.f_code.co_name == "__init__" and _owner(frame) is owner


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
