"""By which names the server may be called.

A page on the internet can have its own name point to 127.0.0.1 after it was loaded, and then read what a
server on its visitor's machine answers (DNS rebinding). It cannot choose the ``Host`` header.
"""

from __future__ import annotations

import ipaddress


class Hosts:
    """Names that are allowed.

    Args:
        patterns: Names and addresses, ``*.example.com`` for all below, ``*`` for any; none for the usual:
            those of this machine where only it can ask, any otherwise.
        host: IP address that is listened on.

    >>> Hosts((), "127.0.0.1").allows("localhost:3000"), Hosts((), "127.0.0.1").allows("evil.example")
    (True, False)
    >>> Hosts(("*.example.com",), "0.0.0.0").allows("models.example.com")
    True
    """

    def __init__(self, patterns: tuple[str, ...], host: str) -> None:
        loopback = ipaddress.ip_address(host).is_loopback
        self._loopback = not patterns and loopback
        given = patterns or (("localhost",) if loopback else ("*",))
        names = [pattern.strip("[]").lower() for pattern in given]
        self._any = "*" in names
        self._exact = frozenset(names)
        self._below = tuple(name[1:] for name in names if name.startswith("*."))

    def allows(self, header: str) -> bool:
        """Whether a ``Host`` header names this server. None is sent by programs alone: browsers always do."""
        if self._any or not header:
            return True
        name = _name(header)
        if name in self._exact or any(name.endswith(suffix) for suffix in self._below):
            return True
        return self._loopback and _is_loopback(name)

    @property
    def text(self) -> str:
        """What is allowed, in an error message."""
        addresses = ["127.0.0.1", "[::1]"] if self._loopback else []
        return ", ".join(sorted(self._exact) + addresses)


def _name(header: str) -> str:
    """Without the port; an IPv6 address without its brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower().rstrip(".")


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
