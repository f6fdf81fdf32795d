"""``python -m lifecycle.serve.packaging.packed``: serve the models that lie in a packaged folder.

The folder is that of `lifecycle.serve.packaging.packing`: ``models.json`` names the models, this package lies
beside it. Options are those of `Settings`, as ``--threads 2`` or ``--api-keys FILE``.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from lifecycle.core.errors import LifecycleError, UsageError, suggest
from lifecycle.serve.process import run_server
from lifecycle.serve.processes.worker import HOME
from lifecycle.serve.settings import VARIABLE, Settings

MODELS = "models.json"
_SEVERAL = ("allowed_hosts", "cors_origins")  # given once to each value


def packed_settings(folder: Path, options: Sequence[str] = ()) -> Settings:
    """What to serve, and how.

    Args:
        folder: Holds ``models.json`` and what it names.
        options: ``--name value`` of `Settings`.

    Raises:
        UsageError: the folder is no such folder, or an option is unknown or wrong.
    """
    if not (folder / MODELS).is_file():
        raise UsageError(f"{folder} is no packaged model: it has no {MODELS}")
    models = json.loads((folder / MODELS).read_bytes())
    for entry in models:
        entry["bundle"] = str(folder / entry["bundle"])
    content = {"models": models, **_options(options)}
    try:
        return Settings.from_environment({VARIABLE: json.dumps(content)})
    except TypeError as error:
        raise UsageError(f"an option has a value of another type: {error}") from None


def prepare(folder: Path) -> None:
    """Make the environment what `processes.supervisor` makes it, where BentoML itself is in charge.

    Done by the process that starts the workers, which inherit it; what the user set stays.
    """
    for name, value in packed_settings(folder).to_environment().items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    if HOME not in os.environ:
        os.environ[HOME] = tempfile.mkdtemp(prefix="lifecycle-serve-")
        atexit.register(_remove, os.environ[HOME], os.getpid())


def main(words: Sequence[str]) -> int:
    """Become the server of the folder that this package lies in; returns only the exit code of a failure."""
    folder = Path(__file__).resolve().parents[3]
    # The workers are started without the current folder in their path, and import from here too.
    inherited = [path for path in (os.environ.get("PYTHONPATH"),) if path]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *inherited])
    try:
        run_server(packed_settings(folder, words))
    except LifecycleError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _remove(home: str, pid: int) -> None:
    if os.getpid() == pid:  # not in what was forked
        shutil.rmtree(home, ignore_errors=True)


def _options(words: Sequence[str]) -> dict[str, Any]:
    known = [field.name for field in fields(Settings) if field.name != "models"]
    found: dict[str, Any] = {}
    for at in range(0, len(words), 2):
        word = words[at]
        name = word.removeprefix("--").replace("-", "_")
        if not word.startswith("--") or name not in known:
            allowed = [f"--{each.replace('_', '-')}" for each in known]
            raise UsageError(f"unknown option '{word}'; {suggest(word, allowed)}")
        if at + 1 == len(words):
            raise UsageError(f"option '{word}' has no value")
        try:
            value = json.loads(words[at + 1])
        except ValueError:  # a text
            value = words[at + 1]
        found[name] = [*found.get(name, ()), value] if name in _SEVERAL else value
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
