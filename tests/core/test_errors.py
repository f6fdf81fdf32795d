from __future__ import annotations

import pytest

from lifecycle.core.errors import ArtifactError, LifecycleError, RefusedError, UsageError, suggest


@pytest.mark.parametrize(
    ("error", "exit_code", "http_status"),
    [(LifecycleError, 1, 500), (UsageError, 2, 400), (ArtifactError, 1, 500), (RefusedError, 3, 409)],
)
def test_each_branch_has_its_exit_code_and_http_status(
    error: type[LifecycleError], exit_code: int, http_status: int
) -> None:
    assert (error.exit_code, error.http_status) == (exit_code, http_status)


def test_the_hint_stands_on_a_line_of_its_own() -> None:
    assert str(UsageError("what was wrong", hint="what to do")) == "what was wrong\nwhat to do"
    assert str(UsageError("what was wrong")) == "what was wrong"


def test_wrong_use_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"^wrong$"):
        raise UsageError("wrong")


def test_suggest_names_the_closest_word_and_all_others() -> None:
    assert suggest("quantise", ["train", "quantize"]) == "did you mean 'quantize'? Allowed: quantize, train"


def test_suggest_names_no_word_that_is_nothing_like_it() -> None:
    assert suggest("zzz", ["train", "prune"]) == "allowed: prune, train"


def test_suggest_says_so_when_nothing_is_allowed() -> None:
    assert suggest("anything", []) == "allowed: (nothing)"
