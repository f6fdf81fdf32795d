"""Following one alias: look, fetch, verify, try, and say what is to be served."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lifecycle.core.errors import ArtifactError, LifecycleError, RefusedError, UsageError
from lifecycle.registry import Version, fetch, find_version
from lifecycle.serve.following.followed import Followed, Refused, Target, write
from lifecycle.serve.following.trial import try_apart

if TYPE_CHECKING:
    from mlflow import MlflowClient

Outcome = Literal["answered", "failed", "accepted", "refused"]

LOOK_TIMEOUT_S = 60.0
FETCH_TIMEOUT_S = 900.0
RETRY_S = 600.0
BACKOFF_LIMIT_S = 60.0
_PASSED_LIMIT = 100

log = logging.getLogger("lifecycle.serve")


class Poll:
    """One followed model.

    Args:
        state: What was known of it when this process began.
        path: The file that the workers read.
        registry: Connects, or raises `LifecycleError`; also says where bundles are fetched to.
        period_s: Mean seconds between two looks while the registry answers.
        report: Told what happened, and what is known since.

    Attributes:
        state: What is known now.
        deadline: `time.monotonic` at which what is being done must have ended; infinite between two looks.
    """

    def __init__(
        self,
        state: Followed,
        path: Path,
        registry: Callable[[], tuple[MlflowClient, Path]],
        *,
        period_s: float,
        report: Callable[[Outcome, Followed], None] = lambda outcome, state: None,
    ) -> None:
        self.state = replace(state, passed=_latest(*state.passed, state.target.digest))
        self.deadline = math.inf
        self._path = path
        self._registry = registry
        self._period_s = period_s
        self._report = report
        self._failures = 0

    def run(self, wait: Callable[[float], bool]) -> None:
        """Look again and again; `wait` sleeps for so many seconds and says whether to go on.

        Raises:
            OSError: the workers cannot be told.
        """
        while wait(self.step()):
            pass

    def step(self) -> float:
        """Look once; how many seconds to wait until the next look."""
        self.deadline = time.monotonic() + LOOK_TIMEOUT_S
        try:
            client, folder = self._registry()
            version, absent = self._look(client)
            if version is not None:
                self._follow(client, version, folder)
            self._went_well(absent)
        except Exception as error:  # of MLflow, of a driver, of the network, of the file system
            self._failed(error)
        finally:
            self.deadline = math.inf
        # Jittered, so that many servers do not ask at the same moment.
        return random.uniform(0.8, 1.2) * self._pause_s()

    def _pause_s(self) -> float:
        """Twice as long after each failure in a row."""
        longest = max(self._period_s, min(12 * self._period_s, BACKOFF_LIMIT_S))
        return min(self._period_s * 2.0 ** min(self._failures, 16), longest)

    def _look(self, client: MlflowClient) -> tuple[Version | None, str]:
        """The version under the alias; or None, and why the registry knows no such alias now."""
        try:
            return find_version(client, self.state.uri), ""
        except UsageError as absent:
            return None, absent.message

    def _went_well(self, absent: str) -> None:
        if self._failures:
            log.info("%s: the registry answers again", self.state.uri)
        self._failures = 0
        if absent and absent != self.state.error:
            log.warning("%s; version %s goes on", absent, self.state.target.version)
        self._put(answers=True, error=absent, answered=round(time.time(), 3))
        self._report("answered", self.state)

    def _follow(self, client: MlflowClient, version: Version, folder: Path) -> None:
        number, digest = str(version.number), version.digest
        target, refused = self.state.target, self.state.refused
        if (number, digest) == (target.version, target.digest):
            if refused is not None:
                log.info("%s is at version %s again", self.state.uri, number)
                self._put(refused=None)
            return
        again = refused is not None and (refused.version, refused.digest) == (number, digest)
        if again and refused is not None and time.time() < refused.at + RETRY_S:
            return
        if not again and not self._failures:
            log.info("%s moved from version %s to %s", self.state.uri, target.version, number)
        self.deadline = time.monotonic() + FETCH_TIMEOUT_S
        try:
            bundle = self._proven(client, version, folder)
        except (ArtifactError, RefusedError) as error:
            self._refuse(version, error.message)
            return
        self._put(
            target=Target(version=number, digest=digest, bundle=bundle),
            refused=None,
            passed=_latest(*self.state.passed, digest),
        )
        self._report("accepted", self.state)

    def _proven(self, client: MlflowClient, version: Version, folder: Path) -> Path:
        """Folder of the bundle, its bytes those registered, and found good."""
        if not version.digest:
            raise RefusedError("it has no digest to verify it by: it was not registered by lifecycle")
        bundle, _ = fetch(client, version, folder)
        if version.digest not in self.state.passed:
            try_apart(bundle.path, version.digest, self.state.target.bundle)
        return bundle.path

    def _refuse(self, version: Version, reason: str) -> None:
        number = str(version.number)
        log.error(
            "%s: version %s is refused, version %s goes on: %s",
            self.state.uri,
            number,
            self.state.target.version,
            reason,
        )
        refused = Refused(version=number, digest=version.digest, reason=reason, at=round(time.time(), 3))
        self._put(refused=refused)
        self._report("refused", self.state)

    def _failed(self, error: Exception) -> None:
        """Once in a log, however long it lasts."""
        self._failures += 1
        text = error.message if isinstance(error, LifecycleError) else f"{type(error).__name__}: {error}"
        text = text.strip().partition("\n")[0][:500]
        if self._failures == 1:
            served = self.state.target.version
            log.warning("%s: version %s goes on while the registry is away: %s", self.state.uri, served, text)
        self._put(answers=False, error=text)
        self._report("failed", self.state)

    def _put(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)
        write(self._path, self.state)


def _latest(*digests: str) -> tuple[str, ...]:
    """Each once, the latest last, and not without end."""
    return tuple(dict.fromkeys(reversed(digests)))[:_PASSED_LIMIT][::-1]
