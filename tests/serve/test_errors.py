from __future__ import annotations

from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.serve import errors


def test_no_request_can_be_blamed_on_the_server() -> None:
    """Only a server without a model answers 5xx, and only a code of its own tells errors apart."""
    branches: list[type[errors.RequestError]] = errors.RequestError.__subclasses__()
    assert {branch.http_status // 100 for branch in branches if branch is not errors.NotReadyError} == {4}
    codes = [errors.RequestError.code, *(branch.code for branch in branches)]
    assert len(set(codes)) == len(codes)


def test_errors_of_other_packages_have_a_code_too() -> None:
    assert errors.code_of(UsageError("x")) == "invalid_input"
    assert errors.code_of(errors.OverloadedError("x")) == "overloaded"
    assert errors.code_of(LifecycleError("x")) == "internal"
