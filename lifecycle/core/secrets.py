"""Secrets: ``${env:NAME}`` in a pipeline file, known by that text everywhere but where they are used.

The text itself is what configuration, cache keys, facts, checkpoints and MLflow hold; it becomes the
variable's value only in the call that makes the user's module or data. What is shown or logged from then on
passes through `mask`, which puts the reference back where the user's code repeats the value.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping

from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError

_REFERENCE = re.compile(r"\$\{env:([^}]*)\}")
_SHORTEST = 4  # what is shorter stands in too many other words to be replaced
_KNOWN: dict[str, str] = {}  # values that were handed out, and the references that stand for them


def references(value: JSON) -> Iterator[str]:
    """The names of all variables that a value refers to.

    >>> list(references({"url": "https://${env:USER}:${env:TOKEN}@host", "size": 3}))
    ['USER', 'TOKEN']
    """
    if isinstance(value, str):
        yield from _REFERENCE.findall(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from references(item)


def resolve(value: JSON, environment: Mapping[str, str] = os.environ) -> JSON:
    """A copy with the values of the variables in place of their references; to be used, not to be kept.

    Raises:
        UsageError: a variable is not set.
    """
    if isinstance(value, str):
        return _REFERENCE.sub(lambda found: _value(found[1], environment), value)
    if isinstance(value, Mapping):
        return {key: resolve(item, environment) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [resolve(item, environment) for item in value]
    return value


def mask(text: str) -> str:
    """The text with references in place of secrets that `resolve` has handed out in this process."""
    for secret in sorted(_KNOWN, key=len, reverse=True):
        text = text.replace(secret, _KNOWN[secret])
    return text


def _value(name: str, environment: Mapping[str, str]) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise UsageError(f"'${{env:{name}}}' names no environment variable: expected letters, digits and '_'")
    if name not in environment:
        raise UsageError(
            f"the environment variable {name}, which the pipeline file refers to, is not set",
            hint=f"Set it for this command: {name}=… lifecycle …",
        )
    secret = environment[name]
    if len(secret) >= _SHORTEST:
        for spelling in (secret, json.dumps(secret, ensure_ascii=False)[1:-1]):
            _KNOWN[spelling] = f"${{env:{name}}}"
    return secret
