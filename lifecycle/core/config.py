"""Configuration in layers, each value with its origin, and dataclasses made of it.

Defaults < file < environment (``LIFECYCLE_TRAIN__TRAINER__MAX_EPOCHS``) < command line
(``train.trainer.max_epochs=3``). Text is read as YAML scalars; nothing is evaluated. Places in a file are
``FILE:LINE:COLUMN``, as editors and terminals open them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

import yaml

from lifecycle.core.canonical import JSON, finite
from lifecycle.core.errors import UsageError, suggest

T = TypeVar("T")
Key = tuple[str, ...]
PREFIX = "LIFECYCLE_"
_DEEPEST = 16
_NO_FILE = "Go to the folder that has one, or begin a project with: lifecycle init NAME"


@dataclass
class Config:
    """A tree of values, for each of them where it was set, and where its key stands."""

    tree: dict[str, JSON] = field(default_factory=dict)
    origins: dict[Key, str] = field(default_factory=dict)
    keys: dict[Key, str] = field(default_factory=dict)

    def set(self, key: Key, value: JSON, origin: str, at: str = "") -> None:
        """Put a value, replacing what an earlier layer put there.

        Args:
            key: Where.
            value: What.
            origin: Where it was set.
            at: Where its key stands, if that is another place.

        Raises:
            UsageError: the key goes below a value that is no mapping.
        """
        node = self.tree
        for depth, part in enumerate(key[:-1]):
            if node.get(part) is None:
                node[part] = {}
            below = node[part]
            if not isinstance(below, dict):
                raise UsageError(
                    f"{origin}: '{'.'.join(key[: depth + 1])}' is {below!r}, nothing can be set below it"
                )
            node = below
        node[key[-1]] = value
        self.origins = {old: where for old, where in self.origins.items() if old[: len(key)] != key}
        self.origins[key] = origin
        self.keys[key] = at or origin

    def origin(self, key: Key) -> str:
        """Where a value was set; else something below it, or the nearest value above it."""
        below = (where for known, where in self.origins.items() if known[: len(key)] == key)
        above = (self.origins[key[:depth]] for depth in range(len(key), 0, -1) if key[:depth] in self.origins)
        return self.origins.get(key) or next(below, "") or next(above, "defaults")

    def place(self, key: Key) -> str:
        """Where a key stands: for what is wrong with the key itself."""
        return self.keys.get(key) or self.origin(key)

    def blamed(self, key: Key, message: str) -> str:
        """Where the option below a key stands that a message names first; else where the key's value does."""
        found = [
            (match.start(), -len(known), where)
            for known, where in self.origins.items()
            if known[: len(key)] == key and len(known) > len(key)
            if (match := re.search(rf"(?<!\w){re.escape(known[-1])}(?!\w)", message))
        ]
        return min(found)[2] if found else self.origin(key)


def read_config(
    path: Path, *, known: Iterable[str], environment: Mapping[str, str], overrides: Iterable[str] = ()
) -> Config:
    """Read all layers.

    Args:
        path: The YAML file.
        known: Keys of the top level; an environment variable counts when it begins with one.
        environment: ``os.environ``.
        overrides: ``key.key=value`` from the command line.

    Raises:
        UsageError: the file is missing or not YAML, or an override is not ``key=value``.
    """
    config = Config()
    _read_file(path, config)
    top = set(known)
    for name, text in sorted(environment.items()):
        key = tuple(part.lower() for part in name.removeprefix(PREFIX).split("__"))
        if name.startswith(PREFIX) and key[0] in top:
            config.set(key, _scalar(text), f"environment {name}")
        elif name.startswith(PREFIX) and len(key) > 1:
            raise UsageError(f"environment {name}: unknown key '{key[0]}': {suggest(key[0], top)}")
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not name:
            raise UsageError(
                f"'{override}' sets nothing: expected key=value, as in train.trainer.max_epochs=3"
            )
        config.set(tuple(name.split(".")), _scalar(text), f"command line '{override}'")
    return config


def _read_file(path: Path, config: Config) -> None:
    if not path.is_file():
        folder = path if path.is_dir() else path.parent
        beside = [each.name for each in folder.glob("*.y*ml")]
        if not beside:
            raise UsageError(f"no file {path}: nor any other pipeline file beside it", hint=_NO_FILE)
        raise UsageError(
            f"{path} is a folder: name a pipeline file in it; {suggest('', beside)}"
            if path.is_dir()
            else f"no file {path}: {suggest(path.name, beside)}"
        )
    try:
        node = yaml.compose(path.read_text(), Loader=yaml.SafeLoader)
        if not isinstance(node, yaml.MappingNode):
            raise UsageError(f"{path}: expected a mapping of keys to values at the top")
        _read_mapping(node, (), path, config)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        lines = path.read_text(errors="replace").splitlines()
        line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
        problem = str(getattr(error, "problem", error))
        raise UsageError(f"{place}: not YAML: {problem}", hint=_mend(path, line, problem)) from None


def _mend(path: Path, line: str, problem: str) -> str:
    """What to write instead, where the mistake is one of those that are often made."""
    if path.suffix == ".py":
        return "A pipeline file is meant: the one that says `model: FILE.py:CLASS`."
    if "{env:" in line:
        return 'Between braces a reference needs quotes: {token: "${env:TOKEN}"}'
    if "\t" in line:
        return "Indent with spaces: YAML allows no tabs."
    if "<block mapping start>" in problem:
        return "Keys of one mapping begin in the same column: take spaces before this one away, or add some."
    return ""


def _read_mapping(node: yaml.MappingNode, above: Key, path: Path, config: Config) -> None:
    if len(above) > _DEEPEST:
        raise UsageError(f"{_place(path, node)}: '{above[0]}' is nested without end: an alias of itself")
    if not node.tag.endswith(":map"):
        raise UsageError(f"{_place(path, node)}: tag '{node.tag}' is not allowed")
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise UsageError(f"{_place(path, key_node)}: a key must be a word")
        key = (*above, str(key_node.value))
        place = _place(path, key_node)
        if key in config.origins:
            raise UsageError(f"{place}: '{'.'.join(key)}' stands twice; first at {config.keys[key]}")
        if isinstance(value_node, yaml.MappingNode):
            config.set(key, {}, place)
            _read_mapping(value_node, key, path, config)
            config.origins[key] = config.keys[key] = place
        else:
            config.set(key, _construct(value_node), _place(path, value_node), place)


def _place(path: Path, node: yaml.Node) -> str:
    return f"{path.name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _construct(node: yaml.Node) -> JSON:
    loader = yaml.SafeLoader("")
    try:
        return cast("JSON", loader.construct_object(node, deep=True))
    finally:
        loader.dispose()


def _scalar(text: str) -> JSON:
    try:
        return cast("JSON", yaml.safe_load(text))
    except yaml.YAMLError:
        return text


def build(cls: type[T], config: Config, key: Key, *, more: Mapping[str, object] | None = None) -> T:
    """Make an options dataclass of the mapping at `key`.

    Args:
        cls: A frozen keyword-only dataclass; its fields are the allowed keys, its types are checked.
        config: All layers.
        key: Where its mapping stands.
        more: Values that are not configured but passed on.

    Raises:
        UsageError: an unknown key, a value of a wrong type or one that the class refuses; says where it
            was set and what is allowed.
    """
    node = lookup(config, key)
    if node is None:
        node = {}
    name = ".".join(key)
    if not isinstance(node, Mapping):
        raise UsageError(f"{config.origin(key)}: '{name}' is {node!r}; expected a mapping of options")
    passed = dict(more or {})
    types = get_type_hints(cls, include_extras=True)
    allowed = [f.name for f in fields(cls) if f.name not in passed]  # type: ignore[arg-type]
    for option in node:
        if option not in allowed:
            place = config.place((*key, option))
            raise UsageError(f"{place}: unknown key '{_dotted(key, option)}': {suggest(option, allowed)}")
    values = {
        option: convert(types[option], value, f"{config.origin((*key, option))}: '{_dotted(key, option)}'")
        for option, value in node.items()
    }
    for each in fields(cls):  # type: ignore[arg-type]
        required = each.default is MISSING and each.default_factory is MISSING
        if required and each.name not in values and each.name not in passed:
            raise UsageError(f"{config.origin(key)}: '{name}' lacks '{each.name}', which has no default")
    try:
        return cls(**values, **passed)
    except UsageError as error:
        place = config.blamed(key, error.message)
        raise UsageError(f"{place}: '{name}': {error.message}", hint=error.hint) from error


def lookup(config: Config, key: Key) -> JSON:
    """The value at a key, or None."""
    node: JSON = config.tree
    for part in key:
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return node


def convert(type_: object, value: JSON, place: str, *, exactly: bool = False) -> object:
    """Check a value against a type; numbers may come as text, as they do from the environment.

    Args:
        type_: What it should be.
        value: What it is.
        place: Where it was set.
        exactly: Whether a text is no number: what is passed on is the value as it is.

    Raises:
        UsageError: it does not fit; begins with `place`.
    """
    from pydantic import TypeAdapter, ValidationError

    if finite(value) != value:
        raise UsageError(f"{place} is {value!r}: expected finite numbers")
    try:
        adapter = TypeAdapter(cast("Any", type_))
        if isinstance(value, str) and not exactly:
            return cast("object", adapter.validate_python(value))
        return cast("object", adapter.validate_json(json.dumps(value), strict=True))
    except ValidationError as error:
        reasons = "; ".join(sorted({detail["msg"] for detail in error.errors()}))
        close = get_close_matches(str(value), _words(type_), n=1, cutoff=0.5)
        meant = f": did you mean '{close[0]}'?" if close else ""
        raise UsageError(f"{place} is {value!r}: {reasons}{meant}") from None


def _words(type_: object) -> list[str]:
    """The words that a type allows: those of its `Literal`."""
    if get_origin(type_) is Literal:
        return [word for word in get_args(type_) if isinstance(word, str)]
    return [word for part in get_args(type_) for word in _words(part)]


def _dotted(key: Key, option: str) -> str:
    return ".".join((*key, option))
