from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lifecycle.core.errors import UsageError
from lifecycle.serve.settings import VARIABLE, ServedModel, Settings


def model(**changes: Any) -> ServedModel:
    values: dict[str, Any] = {"bundle": Path("/b"), "name": "digits", "version": "3"}
    return ServedModel(**(values | changes))


def settings(**changes: Any) -> Settings:
    return Settings(**({"models": (model(),)} | changes))


def test_they_survive_the_environment() -> None:
    there = settings(
        models=(model(follow="models:/digits@champion"), model(name="other")),
        host="::1",
        port=0,
        workers=2,
        threads=4,
        batch_size=8,
        batch_deadline_ms=0.5,
        queue_limit=7,
        deadline_ms=50,
        body_limit_bytes=10,
        timeout_s=0.5,
    )
    assert Settings.from_environment(there.to_environment()) == there
    assert set(there.to_environment()) == {VARIABLE}


def test_the_default_answers_this_machine_alone() -> None:
    assert settings().url == "http://127.0.0.1:3000"


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://localhost:80"), ("::", "http://localhost:80"), ("::1", "http://[::1]:80")],
)
def test_the_url_is_one_that_can_be_opened(host: str, url: str) -> None:
    assert settings(host=host, port=80).url == url


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"models": ()}, "models: expected at least one"),
        ({"models": (model(), model())}, "models: expected each name once, got 'digits' 2 times"),
        ({"host": "localhost"}, "host: expected an IP address, got 'localhost'"),
        ({"port": 70_000}, "port: expected a number from 0 (any free one) to 65535, got 70000"),
        ({"threads": 0}, "threads: expected a number of 1 or more, got 0"),
        ({"workers": -1}, "workers: expected a number of 1 or more, got -1"),
        ({"batch_size": 0}, "batch_size: expected 1 or more, got 0"),
        ({"batch_deadline_ms": -1.0}, "batch_deadline_ms: expected 0 or more, got -1.0"),
        ({"queue_limit": 0}, "queue_limit: expected 1 or more, got 0"),
        ({"deadline_ms": 0}, "deadline_ms: expected more than 0, got 0"),
        ({"body_limit_bytes": 0}, "body_limit_bytes: expected 1 or more, got 0"),
        ({"timeout_s": float("nan")}, "timeout_s: expected more than 0, got nan"),
    ],
)
def test_a_wrong_value_is_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings(**changes)
    assert caught.value.message == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": ""}, "name: expected a model's name without '/', got ''"),
        ({"name": "a/b"}, "name: expected a model's name without '/', got 'a/b'"),
        ({"version": "3\r\n"}, r"version: expected letters, digits, '.', '_' or '-', got '3\r\n'"),
        ({"follow": "models:/digits/3"}, "follow: expected models:/NAME@ALIAS, got 'models:/digits/3'"),
    ],
)
def test_a_wrong_model_is_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        model(**changes)
    assert caught.value.message == text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "LIFECYCLE_SERVE is not JSON: "),
        ("[]", "LIFECYCLE_SERVE: expected a JSON object, got []"),
        ("{}", "LIFECYCLE_SERVE: expected a list for 'models', got None"),
        ('{"models": ["a"]}', "LIFECYCLE_SERVE: models: expected a JSON object, got a"),
        (
            '{"models": [{"bundle": "/b", "name": "a"}]}',
            "LIFECYCLE_SERVE: models: expected a text for 'version', got None",
        ),
        (
            '{"models": [{"nmae": "a"}]}',
            "LIFECYCLE_SERVE: models: unknown setting 'nmae'; did you mean 'name'?",
        ),
        ('{"prot": 1}', "LIFECYCLE_SERVE: unknown setting 'prot'; did you mean 'port'?"),
    ],
)
def test_a_damaged_variable_is_refused(content: str, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Settings.from_environment({VARIABLE: content})
    assert caught.value.message.startswith(text)


def test_a_missing_variable_says_how_servers_are_started() -> None:
    with pytest.raises(UsageError, match=r"LIFECYCLE_SERVE is not set\n.*lifecycle serve MODEL"):
        Settings.from_environment({})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"poll_s": 0}, "poll_s: expected more than 0, got 0"),
        ({"drain_s": -1}, "drain_s: expected 0 or more, got -1"),
        ({"cors_origins": ("app.example.com",)}, "cors_origins: expected an origin such as https://app"),
        ({"allowed_hosts": ("https://a.example",)}, "allowed_hosts: expected a name such as"),
    ],
)
def test_guards_and_times_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Settings(models=(ServedModel(name="m", version="1", bundle=Path("b")),), **options)
