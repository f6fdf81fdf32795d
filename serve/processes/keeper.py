"""A child process of the supervisor: started anew when it dies, ended when the supervisor does."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence
from types import TracebackType

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
_LIVED_S = 60.0


class Keeper:
    """A child for as long as the context is entered.

    Its standard input is a pipe that nobody writes to: it reads as ended when this process is gone, however
    it went, and the child is to end then.

    Args:
        command: What to run.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        with self._lock:
            if self._process is not None:
                self._process.kill()  # it holds nothing that would have to be put away
        self._thread.join(timeout=5)

    def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stop.is_set():
            started = time.monotonic()
            with self._lock:
                if self._stop.is_set():
                    return
                self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE)
            # BentoML's process manager may collect the child before this does; then there is no exit code.
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()
            pause_s = (
                FIRST_PAUSE_S if time.monotonic() - started > _LIVED_S else min(2 * pause_s, LONGEST_PAUSE_S)
            )
            self._stop.wait(pause_s)
