"""API keys: several, of a file or the environment; only their hashes are kept."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from lifecycle.core.errors import UsageError
from lifecycle.serve.following.followed import Glance

VARIABLE = "LIFECYCLE_API_KEYS"
SHORTEST = 16
_HINT = "A good one: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"

log = logging.getLogger("lifecycle.serve")


class Keys:
    """The keys of which a request must bring one.

    Args:
        hashes: SHA-256 of each.
        path: The file that they came from, which is looked at again; None for those of the environment.
    """

    def __init__(self, hashes: frozenset[bytes], path: Path | None = None) -> None:
        self._hashes = tuple(hashes)
        self._path = path
        self._glance = Glance(path) if path else None
        if self._glance:
            self._glance.changed()

    def __len__(self) -> int:
        """How many."""
        return len(self._hashes)

    def admit(self, key: bytes) -> bool:
        """Whether it is one of them; takes as long for a wrong one as for a right one."""
        offered = hashlib.sha256(key).digest()
        found = False
        for known in self._hashes:
            found |= hmac.compare_digest(offered, known)
        return found

    def look(self) -> None:
        """Read the file again if it was replaced; keys stay as they are while it cannot be read."""
        if self._glance is None or self._path is None or not self._glance.changed():
            return
        try:
            self._hashes = tuple(_of_file(self._path))
        except UsageError as error:
            log.error("the API keys stay as they were: %s", error.message)
            return
        log.info("API keys read again: %d", len(self))


def read_keys(path: Path | None, environment: Mapping[str, str] = os.environ) -> Keys | None:
    """The keys of a file, or of ``LIFECYCLE_API_KEYS``; None where there is neither.

    Args:
        path: One key to a line; empty lines, and those that begin with ``#``, are none.
        environment: Keys separated by commas.

    Raises:
        UsageError: the file cannot be read, holds no key, or a key is too short.
    """
    if path is not None:
        return Keys(_of_file(path), path)
    text = environment.get(VARIABLE)
    if text is None:
        return None
    return Keys(_hashed(text.split(","), VARIABLE))


def _of_file(path: Path) -> frozenset[bytes]:
    try:
        text = path.read_text()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"the API keys of {path} cannot be read: {reason}") from None
    if mode & stat.S_IROTH:
        log.warning("every user of this machine can read the API keys of %s; chmod 600 mends that", path)
    return _hashed((line for line in text.splitlines() if not line.lstrip().startswith("#")), str(path))


def _hashed(keys: Iterable[str], where: str) -> frozenset[bytes]:
    found = [key.strip() for key in keys if key.strip()]
    if not found:
        raise UsageError(f"{where} holds no API key; then nobody could ask", hint=_HINT)
    for number, key in enumerate(found, start=1):
        if len(key) < SHORTEST or not key.isascii() or " " in key:
            raise UsageError(
                f"{where}: key {number} has {len(key)} characters; "
                f"expected {SHORTEST} or more, ASCII, without spaces",
                hint=_HINT,
            )
    return frozenset(hashlib.sha256(key.encode()).digest() for key in found)
