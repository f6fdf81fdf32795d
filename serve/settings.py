"""What a server is started with, and its way through one environment variable to the worker."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from lifecycle.core.errors import UsageError, suggest

VARIABLE = "LIFECYCLE_SERVE"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One model on one address.

    Attributes:
        bundle: Folder of the bundle artifact.
        name: The model's name in URLs and answers.
        version: The model's version there; letters, digits, ``.``, ``_`` and ``-``.
        host: IP address to listen on; ``0.0.0.0`` or ``::`` for every network.
        port: TCP port, 0 for any free one.
        threads: ONNX Runtime threads; None for the cores that the process may use.
        body_limit_bytes: Longest request body that is read.
        timeout_s: Seconds that a client may take to send a body.

    Raises:
        UsageError: a value is not one of those.
    """

    bundle: Path
    name: str
    version: str
    host: str = "127.0.0.1"
    port: int = 3000
    threads: int | None = None
    body_limit_bytes: int = 32 * 2**20
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise UsageError(f"name: expected a model's name without '/', got {self.name!r}")
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", self.version):
            raise UsageError(f"version: expected letters, digits, '.', '_' or '-', got {self.version!r}")
        _check_host(self.host)
        if not 0 <= self.port <= 65535:
            raise UsageError(f"port: expected a number from 0 (any free one) to 65535, got {self.port}")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads: expected a number of 1 or more, got {self.threads}")
        if self.body_limit_bytes < 1:
            raise UsageError(f"body_limit_bytes: expected 1 or more, got {self.body_limit_bytes}")
        if not self.timeout_s > 0:
            raise UsageError(f"timeout_s: expected more than 0, got {self.timeout_s}")

    @property
    def url(self) -> str:
        """Where people on this machine reach the server."""
        address = ipaddress.ip_address(self.host)
        if address.is_unspecified:
            return f"http://localhost:{self.port}"
        return f"http://[{address}]:{self.port}" if address.version == 6 else f"http://{address}:{self.port}"

    def to_environment(self) -> dict[str, str]:
        """The variable that `from_environment` reads."""
        return {VARIABLE: json.dumps(asdict(self) | {"bundle": str(self.bundle)})}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """The inverse of `to_environment`.

        Raises:
            UsageError: the variable is missing, is no JSON object, or a value in it is wrong.
        """
        text = environment.get(VARIABLE)
        if text is None:
            raise UsageError(f"{VARIABLE} is not set", hint="Start the server with: lifecycle serve MODEL")
        try:
            content = json.loads(text)
        except ValueError as error:
            raise UsageError(f"{VARIABLE} is not JSON: {error}") from None
        if not isinstance(content, dict):
            raise UsageError(f"{VARIABLE}: expected a JSON object, got {text[:40]}")
        names = [field.name for field in fields(cls)]
        for name in content:
            if name not in names:
                raise UsageError(f"{VARIABLE}: unknown setting '{name}'; {suggest(name, names)}")
        for name in ("bundle", "name", "version"):
            if not isinstance(content.get(name), str):
                raise UsageError(f"{VARIABLE}: expected a text for '{name}', got {content.get(name)!r}")
        return cls(**content | {"bundle": Path(content["bundle"])})


def _check_host(host: str) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise UsageError(
            f"host: expected an IP address, got {host!r}",
            hint="127.0.0.1 answers this machine alone, 0.0.0.0 every network.",
        ) from None
