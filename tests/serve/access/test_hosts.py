from __future__ import annotations

import pytest

from lifecycle.core.errors import UsageError
from lifecycle.serve.access.hosts import Hosts
from lifecycle.serve.settings import check_host_pattern


@pytest.mark.parametrize(
    ("patterns", "host", "header", "allowed"),
    [
        ((), "127.0.0.1", "localhost", True),
        ((), "127.0.0.1", "LOCALHOST.:3000", True),
        ((), "127.0.0.1", "127.0.0.1:3000", True),
        ((), "127.0.0.1", "[::1]:3000", True),
        ((), "127.0.0.1", "", True),
        ((), "127.0.0.1", "evil.example", False),
        ((), "127.0.0.1", "localhost.evil.example", False),
        ((), "127.0.0.1", "10.0.0.1", False),
        ((), "0.0.0.0", "anything", True),
        (("models.example.com",), "127.0.0.1", "models.example.com:443", True),
        (("models.example.com",), "127.0.0.1", "localhost", False),
        (("*.example.com",), "0.0.0.0", "a.example.com", True),
        (("*.example.com",), "0.0.0.0", "example.com", False),
        (("*.example.com",), "0.0.0.0", "badexample.com", False),
        (("*",), "127.0.0.1", "evil.example", True),
        (("[::1]",), "::1", "[::1]:3000", True),
    ],
)
def test_names_by_which_a_server_may_be_called(
    patterns: tuple[str, ...], host: str, header: str, allowed: bool
) -> None:
    assert Hosts(patterns, host).allows(header) is allowed


@pytest.mark.parametrize("pattern", ["http://a.example", "a.example:80", "a/b", "a.*.example", ""])
def test_what_is_no_name_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"expected a name such as models\.example\.com"):
        check_host_pattern(pattern)
