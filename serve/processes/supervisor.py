"""``python -m lifecycle.serve.processes.supervisor``: BentoML's server in a folder of its own, ended cleanly.

The settings come by the environment (`Settings.to_environment`). Started by
`lifecycle.serve.process.run_server`, whose process it replaces.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import tempfile
from collections.abc import MutableMapping
from contextlib import AbstractContextManager, nullcontext
from types import FrameType

from lifecycle.serve.processes.bento import replace_promptly
from lifecycle.serve.processes.keeper import Keeper
from lifecycle.serve.processes.worker import GIVE_UP, HOME, SUPERVISOR
from lifecycle.serve.settings import Settings

SERVICE = "lifecycle.serve.service:service"
GRACE_S = 30


def main() -> int:
    """Run until SIGTERM or SIGINT, then end the workers and remove what was written; the exit code."""
    failed = False

    def give_up(number: int, frame: FrameType | None) -> None:
        nonlocal failed
        failed = True
        os.kill(os.getpid(), signal.SIGTERM)

    # Until BentoML's own handlers stand, a signal ends this process the same orderly way.
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    signal.signal(GIVE_UP, give_up)
    settings = Settings.from_environment()
    with tempfile.TemporaryDirectory(prefix="lifecycle-serve-") as home:
        prepare_environment(os.environ, home)
        tempfile.tempdir = home
        os.dup2(2, 1)  # a server has no data for stdout; whatever BentoML prints is a log
        with _following(settings):
            code = _run_bentoml(settings, home)
    return 1 if failed else code


def prepare_environment(environment: MutableMapping[str, str], home: str) -> None:
    """What BentoML, its workers and their libraries read; what the user set stays, but for the last three.

    Args:
        environment: Changed in place.
        home: A folder that lives as long as the server.
    """
    environment.setdefault("BENTOML_HOME", home)
    environment.setdefault("BENTOML_DO_NOT_TRACK", "True")
    # Since 1.29 ONNX Runtime reports models and machine to its maker, and keeps an identifier in ~/.cache.
    environment.setdefault("ORT_DISABLE_TELEMETRY", "1")
    # Bodies come and go: with its defaults malloc gives their memory back and asks for it again each time,
    # and the faults on its pages cost more than all else that is done to receive them.
    environment.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**25))
    environment.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**27))
    environment.setdefault("MALLOC_TOP_PAD_", str(2**24))
    environment["TMPDIR"] = home  # sockets and metrics that BentoML would leave in /tmp
    environment["PYTHONSAFEPATH"] = "1"  # a user's logging.py in the current folder is not ours
    environment[SUPERVISOR] = str(os.getpid())
    environment[HOME] = home
    environment.pop("BENTOML_CONTAINERIZED", None)  # there BentoML would replace no worker that died


def _run_bentoml(settings: Settings, home: str) -> int:
    """BentoML's command line, in this process."""
    sys.argv = ["bentoml", "serve", SERVICE, "--working-dir", home]
    sys.argv += ["--host", settings.host, "--port", str(settings.port)]
    sys.argv += ["--timeout-graceful-shutdown", str(GRACE_S)]
    # Its own lines say less than ours; BENTOML_VERBOSITY=1 shows them, for debugging.
    sys.argv += [] if "BENTOML_VERBOSITY" in os.environ else ["--quiet"]
    replace_promptly()
    try:
        runpy.run_module("bentoml", run_name="__main__", alter_sys=True)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return 0


def _following(settings: Settings) -> AbstractContextManager[object]:
    """The process that asks the registry, where there is something to ask."""
    if all(model.follow is None for model in settings.models):
        return nullcontext()
    return Keeper([sys.executable, "-P", "-m", "lifecycle.serve.following.follower"])


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
