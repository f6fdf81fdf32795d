"""What a value may be, said once in the type of an option: checked when it is made, and told to editors.

>>> Count = Annotated[int, Within(least=1)]
>>> @dataclass(frozen=True, kw_only=True)
... class Options:
...     steps: Count = 1
...     def __post_init__(self) -> None:
...         check_limits(self)
>>> Options(steps=0)
Traceback (most recent call last):
lifecycle.core.errors.UsageError: steps is 0; expected at least 1
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Protocol, cast, get_args, get_origin, get_type_hints

from lifecycle.core import plugins
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError


class Limit(Protocol):
    """What stands beside a type in ``Annotated``."""

    def problem(self, value: Any) -> str:
        """What is expected in place of a value; empty for one that is allowed."""

    def terms(self) -> Mapping[str, JSON]:
        """The same in JSON Schema's words."""


class _Told:
    """Adds a limit's terms to the JSON Schema that pydantic makes of the type."""

    def __get_pydantic_json_schema__(self, core: Any, handler: Callable[[Any], Any]) -> Any:
        return {**handler(core), **self.terms()}  # type: ignore[attr-defined]


@dataclass(frozen=True, kw_only=True)
class Within(_Told):
    """A range of numbers.

    Attributes:
        least: The least that is allowed.
        above: What it must be above.
        most: The greatest that is allowed.
        below: What it must be below.
    """

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None

    def problem(self, value: float) -> str:
        """As `Limit`."""
        holds = (
            (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )
        return "" if holds else f"expected {self}"

    def __str__(self) -> str:
        words = (
            ("at least", self.least),
            ("a number above", self.above),
            ("at most", self.most),
            ("below", self.below),
        )
        return ", ".join(f"{word} {value:g}" for word, value in words if value is not None)

    def terms(self) -> Mapping[str, JSON]:
        """As `Limit`."""
        found = {
            "minimum": self.least,
            "exclusiveMinimum": self.above,
            "maximum": self.most,
            "exclusiveMaximum": self.below,
        }
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True)
class Named(_Told):
    """Names of extensions of a family, one of which may not be left out.

    Attributes:
        family: Whose table has them.
        needed: The one that has to be among them.
        because: Why.
    """

    family: str
    needed: str
    because: str

    def problem(self, value: tuple[str, ...]) -> str:
        """As `Limit`; names that there are not are refused with the closest one."""
        known = plugins.table(self.family)
        if not value:
            return f"allowed: {', '.join(known)}"
        for name in value:
            if name not in known:
                plugins.load(self.family, name)
        return "" if self.needed in value else f"add {self.needed}, which is {self.because}"

    def terms(self) -> Mapping[str, JSON]:
        """As `Limit`."""
        names = sorted(plugins.table(self.family))
        return {"items": {"enum": cast("JSON", names)}, "minItems": 1, "contains": {"const": self.needed}}


@dataclass(frozen=True)
class Word(_Told):
    """A text of a form.

    Attributes:
        pattern: What the whole of it matches.
        never: What the whole of it must not match.
        said: What to say of one that is not allowed.
    """

    pattern: str
    never: str
    said: str

    def problem(self, value: str) -> str:
        """As `Limit`."""
        holds = re.fullmatch(self.pattern, value) and not re.fullmatch(self.never, value)
        return "" if holds else f"expected {self.said}"

    def terms(self) -> Mapping[str, JSON]:
        """As `Limit`."""
        return {"pattern": f"^(?:{self.pattern})$", "not": {"pattern": f"^(?:{self.never})$"}}


def check_limits(options: object) -> None:
    """See that every field of a dataclass is within the limits that its type names.

    Raises:
        UsageError: one is not; says which, what it is and what is expected.
    """
    for name, limits in _limits(cast("Hashable", type(options))).items():
        value = getattr(options, name)
        for limit in limits if value is not None else ():
            if problem := limit.problem(value):
                shown = list(value) if isinstance(value, tuple) else value
                raise UsageError(f"{name} is {shown}; {problem}")


@cache
def _limits(cls: Hashable) -> dict[str, tuple[Limit, ...]]:
    hints = get_type_hints(cls, include_extras=True)
    return {name: found for name, type_ in hints.items() if (found := tuple(_of(type_)))}


def _of(type_: object) -> Iterator[Limit]:
    if get_origin(type_) is Annotated:
        yield from (each for each in get_args(type_)[1:] if isinstance(each, _Told))  # type: ignore[misc]
    elif not isinstance(type_, str):
        for part in get_args(type_):
            yield from _of(part)


Count = Annotated[int, Within(least=1)]
WholeFromZero = Annotated[int, Within(least=0)]
Share = Annotated[float, Within(least=0, most=1)]
Part = Annotated[float, Within(above=0, below=1)]
Positive = Annotated[float, Within(above=0)]
NotNegative = Annotated[float, Within(least=0)]
