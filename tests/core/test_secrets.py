from __future__ import annotations

import pytest

from lifecycle.core import secrets
from lifecycle.core.errors import UsageError

ENVIRONMENT = {"TOKEN": "hunter2-hunter2", "SHORT": "ab"}


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_KNOWN", {})


def test_references_become_values_wherever_they_stand() -> None:
    given = {
        "url": "https://me:${env:TOKEN}@host",
        "list": ["${env:SHORT}", 3, None],
        "plain": "$TOKEN {env:TOKEN}",
    }
    assert secrets.resolve(given, ENVIRONMENT) == {
        "url": "https://me:hunter2-hunter2@host",
        "list": ["ab", 3, None],
        "plain": "$TOKEN {env:TOKEN}",
    }
    assert list(secrets.references(given)) == ["TOKEN", "SHORT"]
    assert given["url"] == "https://me:${env:TOKEN}@host"


def test_what_was_handed_out_is_masked_afterwards() -> None:
    assert secrets.mask("hunter2-hunter2") == "hunter2-hunter2"
    secrets.resolve("${env:TOKEN} ${env:SHORT}", ENVIRONMENT)
    assert secrets.mask("401 for hunter2-hunter2, ab") == "401 for ${env:TOKEN}, ab"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${env:TOKAN}", "the environment variable TOKAN, which the pipeline file refers to, is not set"),
        ("${env:}", "'${env:}' names no environment variable: expected letters, digits and '_'"),
        ("${env:a b}", "'${env:a b}' names no environment variable"),
    ],
)
def test_what_cannot_be_resolved_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        secrets.resolve({"token": text}, ENVIRONMENT)
    assert error.value.message.startswith(message)
