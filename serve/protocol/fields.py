"""Fields of a request of the Open Inference Protocol, each of the type that it has to be."""

from __future__ import annotations

from collections.abc import Mapping

from lifecycle.core.errors import UsageError
from lifecycle.serve.protocol.codec import Parsed, describe, names_of

_NOT_SERVED = ("shared_memory_region", "classification")
NOTHING: Mapping[str, Parsed] = {}


def parameters_of(content: Mapping[str, Parsed], where: str) -> Mapping[str, Parsed]:
    """The parameters of a request or a tensor; those that ask for what is not served are refused."""
    parameters = content.get("parameters")
    if parameters is None:
        return NOTHING
    if not isinstance(parameters, dict):
        raise UsageError(f"{where}: expected an object for 'parameters', got {describe(parameters)}")
    for name in _NOT_SERVED:
        if name in parameters:
            raise UsageError(f"{where}: the parameter '{name}' asks for what this server does not do")
    return parameters


def flag_of(parameters: Mapping[str, Parsed], name: str, where: str, *, otherwise: bool = False) -> bool:
    """A parameter that is true or false."""
    value = parameters.get(name, otherwise)
    if not isinstance(value, bool):
        raise UsageError(f"{where}: expected true or false for '{name}', got {describe(value)}")
    return value


def timeout_of(parameters: Mapping[str, Parsed]) -> float | None:
    """Triton's ``timeout`` is in microseconds, and 0 says nothing."""
    value = parameters.get("timeout", 0)
    if type(value) is not int or value < 0:
        raise UsageError(f"the request: expected microseconds for 'timeout', got {describe(value)}")
    return value / 1e6 if value else None


def list_of(content: Mapping[str, Parsed], field: str) -> list[Parsed]:
    """A list that has to be there."""
    if field not in content:
        raise UsageError(f"'{field}' is missing; the body has {names_of(content)}")
    value = content[field]
    if not isinstance(value, list):
        raise UsageError(f"{field}: expected a list, got {describe(value)}")
    return value
