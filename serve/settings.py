"""What a server is started with, and its way through one environment variable to the worker."""

from __future__ import annotations

import ipaddress
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from lifecycle.core.errors import UsageError, suggest

VARIABLE = "LIFECYCLE_SERVE"


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """One model and what it is called.

    Attributes:
        name: Its name in URLs and answers.
        version: Its version there; letters, digits, ``.``, ``_`` and ``-``.
        bundle: Folder of the bundle artifact.
        follow: Where the registry says which version this should be, ``models:/NAME@ALIAS``; None to stay.

    Raises:
        UsageError: a value is not one of those.
    """

    name: str
    version: str
    bundle: Path
    follow: str | None = None

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise UsageError(f"name: expected a model's name without '/', got {self.name!r}")
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", self.version):
            raise UsageError(f"version: expected letters, digits, '.', '_' or '-', got {self.version!r}")
        if self.follow is not None and not re.fullmatch(r"models:/[^/@]+@[^/@]+", self.follow):
            raise UsageError(f"follow: expected models:/NAME@ALIAS, got {self.follow!r}")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Models on one address, and how much work is taken in.

    Attributes:
        models: At least one, each name once.
        host: IP address to listen on; ``0.0.0.0`` or ``::`` for every network.
        port: TCP port, 0 for any free one.
        workers: Processes that answer, each with a copy of every model; None for one to four cores.
        threads: ONNX Runtime threads of each worker; None for its share of the cores.
        batch_size: Samples that are computed together at most.
        batch_deadline_ms: How long a request may wait for company once the model is free, in milliseconds;
            nobody waits while nothing is computed.
        queue_limit: Requests of one model that may wait; those beyond are refused at once.
        deadline_ms: How long a request may wait for its turn, in milliseconds; where it would wait longer it
            is refused at once.
        body_limit_bytes: Longest request body that is read.
        timeout_s: Seconds that a client may take to send a body.
        poll_s: Mean seconds between two looks at an alias that is followed.
        workspace: Whose registry is asked, unless ``MLFLOW_TRACKING_URI`` names one; None to search upwards.
        drain_s: How long a server that was told to end still takes requests, while it says that it is not
            ready: who sends them may take a moment to notice. Ctrl-C does not wait.
        api_keys: File of the keys of which a request must bring one; None for those of the environment.
        allowed_hosts: Names by which requests may call the server; none for the usual ones of `host`.
        cors_origins: Origins whose pages may ask from a browser.
        access_log: Write a line for each request.
        tracing: Send spans to OpenTelemetry.

    Raises:
        UsageError: a value is not one of those.
    """

    models: tuple[ServedModel, ...]
    host: str = "127.0.0.1"
    port: int = 3000
    workers: int | None = None
    threads: int | None = None
    batch_size: int = 32
    batch_deadline_ms: float = 2.0
    queue_limit: int = 256
    deadline_ms: float = 1000.0
    body_limit_bytes: int = 32 * 2**20
    timeout_s: float = 30.0
    poll_s: float = 5.0
    workspace: Path | None = None
    drain_s: float = 1.0
    api_keys: Path | None = None
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    access_log: bool = False
    tracing: bool = False

    def __post_init__(self) -> None:
        _check_models(self.models)
        _check_host(self.host)
        if not 0 <= self.port <= 65535:
            raise UsageError(f"port: expected a number from 0 (any free one) to 65535, got {self.port}")
        for name in ("workers", "threads"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise UsageError(f"{name}: expected a number of 1 or more, got {value}")
        for name in ("batch_size", "queue_limit", "body_limit_bytes"):
            if (value := getattr(self, name)) < 1:
                raise UsageError(f"{name}: expected 1 or more, got {value}")
        if not 0 <= self.batch_deadline_ms < math.inf:
            raise UsageError(f"batch_deadline_ms: expected 0 or more, got {self.batch_deadline_ms}")
        if not 0 <= self.drain_s < math.inf:
            raise UsageError(f"drain_s: expected 0 or more, got {self.drain_s}")
        for host in self.allowed_hosts:
            check_host_pattern(host)
        for origin in self.cors_origins:
            _check_origin(origin)
        for name in ("deadline_ms", "timeout_s", "poll_s"):
            if not 0 < (value := getattr(self, name)) < math.inf:
                raise UsageError(f"{name}: expected more than 0, got {value}")

    @property
    def url(self) -> str:
        """Where people on this machine reach the server."""
        address = ipaddress.ip_address(self.host)
        if address.is_unspecified:
            return f"http://localhost:{self.port}"
        return f"http://[{address}]:{self.port}" if address.version == 6 else f"http://{address}:{self.port}"

    def to_environment(self) -> dict[str, str]:
        """The variable that `from_environment` reads."""
        return {VARIABLE: json.dumps(asdict(self), default=str)}

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
        _check_fields(cls, content, VARIABLE)
        models = content.get("models")
        if not isinstance(models, list):
            raise UsageError(f"{VARIABLE}: expected a list for 'models', got {models!r}")
        read: dict[str, Any] = {"models": tuple(_read_model(model) for model in models)}
        for name in ("workspace", "api_keys"):
            read[name] = Path(content[name]) if content.get(name) else None
        for name in ("allowed_hosts", "cors_origins"):
            read[name] = tuple(content.get(name, ()))
        return cls(**content | read)


def _read_model(content: object) -> ServedModel:
    where = f"{VARIABLE}: models"
    values = _check_fields(ServedModel, content, where)
    for name in ("bundle", "name", "version"):
        if not isinstance(values.get(name), str):
            raise UsageError(f"{where}: expected a text for '{name}', got {values.get(name)!r}")
    return ServedModel(**values | {"bundle": Path(values["bundle"])})


def _check_fields(kind: type[Settings | ServedModel], content: object, where: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise UsageError(f"{where}: expected a JSON object, got {str(content)[:40]}")
    names = [field.name for field in fields(kind)]
    for name in content:
        if name not in names:
            raise UsageError(f"{where}: unknown setting '{name}'; {suggest(name, names)}")
    return content


def _check_models(models: tuple[ServedModel, ...]) -> None:
    if not models:
        raise UsageError("models: expected at least one")
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"models: expected each name once, got '{name}' {names.count(name)} times")


def _check_host(host: str) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise UsageError(
            f"host: expected an IP address, got {host!r}",
            hint="127.0.0.1 answers this machine alone, 0.0.0.0 every network.",
        ) from None


def check_host_pattern(pattern: str) -> None:
    """Raise `UsageError` unless it is a host name or address, one after ``*.``, or ``*``."""
    if not re.fullmatch(r"\*|(\*\.)?[A-Za-z0-9_.-]+|\[?[0-9A-Fa-f:.]+\]?", pattern):
        raise UsageError(
            f"allowed_hosts: expected a name such as models.example.com or *.example.com, got {pattern!r}",
            hint="Without scheme, port and path.",
        )


def _check_origin(origin: str) -> None:
    if origin != "*" and not re.fullmatch(r"https?://[^/\s]+", origin):
        raise UsageError(
            f"cors_origins: expected an origin such as https://app.example.com, got {origin!r}",
            hint="Scheme, host and port as the browser's address line has them, without a path.",
        )
