"""One server for all tests that only ask it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lifecycle.core.artifact import Artifact
from lifecycle.serve.settings import ServedModel, Settings
from tests.serve.bundles import digits_bundle, identity_bundle, log_bundle, lookup_bundle, sum_bundle
from tests.serve.servers import Server, started


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The bundle of the digits model."""
    return digits_bundle(tmp_path_factory.mktemp("bundles") / "digits")


@pytest.fixture(scope="session")
def server(digits: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It serves the digits model as ``digits``, version 3, and takes bodies of at most 64 kB."""
    settings = Settings(
        models=(ServedModel(name="digits", version="3", bundle=digits.path),),
        port=0,
        workers=1,
        threads=2,
        body_limit_bytes=65_536,
    )
    with started(settings, tmp_path_factory.mktemp("server")) as running:
        running.url()
        yield running


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[httpx.Client]:
    """Asks that server."""
    with httpx.Client(base_url=server.url(), timeout=30) as connected:
        yield connected


@pytest.fixture
def bundle_path(tmp_path: Path) -> Path:
    """Where a bundle may be written."""
    return tmp_path / "bundle"


CARD = """# Logarithm

It takes \\`numbers\\`, **positive** ones.

| axis | size |
|---|---|
| batch | any \\| `1` |

- <script>window.ran = 1</script>
"""


@pytest.fixture(scope="session")
def several(digits: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It serves images with labels, pairs of numbers, sequences of varying length, and two inputs at once."""
    folder = tmp_path_factory.mktemp("several")
    (folder / "card.md").write_text(CARD)
    bundles = {
        "digits": digits,
        "logarithm": log_bundle(folder / "log"),
        "table": lookup_bundle(folder / "lookup"),
        "sum": sum_bundle(folder / "sum"),
        "echo": identity_bundle(folder / "echo", "object"),
    }
    models = tuple(ServedModel(name=name, version="1", bundle=made.path) for name, made in bundles.items())
    settings = Settings(models=models, port=0, workers=1, threads=1, body_limit_bytes=2**20)
    with started(settings, folder / "server") as running:
        running.url()
        yield running
