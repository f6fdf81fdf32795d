"""Ports of this machine."""

from __future__ import annotations

import socket

from lifecycle.core.errors import UsageError


def free_port(host: str, port: int) -> int:
    """The same port, or any free one for 0.

    Raises:
        UsageError: it is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UsageError(
                f"cannot listen on {host} port {port}: {error.strerror}",
                hint="Choose another port, or 0 for any free one.",
            ) from None
        number: int = probe.getsockname()[1]
        return number
