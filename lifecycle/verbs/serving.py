"""A server in a process of its own, held by whoever started it; and asking any server."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

from lifecycle.client import ask, question_of
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import LifecycleError
from lifecycle.verbs.models import find_model
from lifecycle.verbs.places import given_workspace

if TYPE_CHECKING:
    from lifecycle.core.signature import Array
    from lifecycle.serve.settings import Settings

_PATIENCE_S = 120.0  # BentoML imports a great deal first
_GRACE_S = 40.0  # the supervisor ends its workers itself within thirty seconds


class Server:
    """A running server; ends with `stop`, with its ``with`` block, or with this process.

    Attributes:
        settings: What it was started with; `Settings.port` is the real one.
    """

    def __init__(self, settings: Settings, process: subprocess.Popen[bytes], log: Path) -> None:
        self.settings = settings
        self._process = process
        self._log = log
        self._end = weakref.finalize(self, _end, process, log)

    @property
    def url(self) -> str:
        """Where it answers; in a browser, the page to try the model."""
        return self.settings.url

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process.poll() is None

    def predict(
        self,
        rows: Array | Sequence[JSON] | Path | Sequence[Path],
        *,
        model: str | None = None,
        timeout_s: float = 60.0,
    ) -> dict[str, JSON]:
        """As `predict`, of this server."""
        return predict(self.url, rows, model=model, timeout_s=timeout_s)

    def wait_until_ready(self, timeout_s: float = _PATIENCE_S) -> None:
        """Return as soon as every model answers.

        Raises:
            LifecycleError: the server has ended, or takes longer; says what it wrote last.
        """
        deadline = time.monotonic() + timeout_s
        while not _is_ready(self.url):
            if not self.running or time.monotonic() > deadline:
                manner = "does not get ready" if self.running else "has ended"
                said = "\n".join(self.log.splitlines()[-10:])
                self.stop()
                raise LifecycleError(f"the server at {self.url} {manner}:\n{said}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Finish the requests at work, and end; a second time does nothing."""
        self._end()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        models = ", ".join(f"{model.name} version {model.version}" for model in self.settings.models)
        return f"<Server of {models} at {self.url}, {'running' if self.running else 'stopped'}>"


def serve(
    *models: str | Path,
    port: int = 0,
    follow: bool = True,
    workspace: str | Path | None = None,
    **settings: Any,
) -> Server:
    """Start a server and return when it is ready.

    Args:
        models: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, or folders of bundles.
        port: To listen on; 0 for any free one.
        follow: Whether another version is served as soon as an alias moves to it.
        workspace: Whose registry is asked, unless MLflow's environment names one.
        settings: Fields of `lifecycle.serve.settings.Settings`: ``host``, ``workers``, ``api_keys``, ….

    Raises:
        UsageError: there is no such model, a setting is wrong, or the port is taken.
        LifecycleError: the server does not get ready; says what it wrote last.
    """
    from lifecycle.serve.process import start_server
    from lifecycle.serve.settings import Settings

    place = given_workspace(workspace)
    found = tuple(find_model(model, place, follow=follow) for model in models)
    asked = Settings(models=found, port=port, workspace=place, **settings)
    with tempfile.NamedTemporaryFile(prefix="lifecycle-serve-", suffix=".log", delete=False) as log:
        try:
            process, final = start_server(asked, log.fileno())
        except BaseException:
            Path(log.name).unlink()
            raise
    server = Server(final, process, Path(log.name))
    server.wait_until_ready()
    return server


def predict(
    url: str,
    rows: Array | Sequence[JSON] | Path | Sequence[Path],
    *,
    model: str | None = None,
    timeout_s: float = 60.0,
) -> dict[str, JSON]:
    """Ask a running server.

    Args:
        url: ``http://HOST:PORT``.
        rows: An array whose first axis counts samples, a list of rows, or files as `lifecycle predict` takes
            them: JSON, ``.npy``, one image or several.
        model: Which one, where the server has several.
        timeout_s: How long to wait for the answer.

    Returns:
        ``predictions``, one for each row, and ``model_name``, ``model_version``, ``latency_ms``.

    Raises:
        UsageError: the request is wrong.
        LifecycleError: the server cannot be reached, or fails.
    """
    return ask(url, question_of(rows), model=model, timeout_s=timeout_s)


def _is_ready(url: str) -> bool:
    try:
        with urlopen(f"{url}/v2/health/ready", timeout=1):
            return True
    except (URLError, OSError):
        return False


def _end(process: subprocess.Popen[bytes], log: Path) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    log.unlink(missing_ok=True)
