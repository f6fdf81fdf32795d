"""Who was champion, since when and why: a linear history of promotions, kept in MLflow's registry.

MLflow's aliases know no compare-and-swap: of several who look and then set, all win. But it numbers the
versions of a registered model one by one. So the entries of ``NAME`` are versions of a registered model
``NAME.ledger``, and each says which entry was the newest when its writer looked (its *head*). **An entry
counts if its number follows that head directly.** Of several writers who saw the same head one gets the next
number, and the entries of the others are void for everyone, for ever. Whoever has an entry that counts then
sets the alias; if it dies before, whoever looks next does.

Entries are never deleted or changed, but for a mark that the alias was seen to follow.
"""

from __future__ import annotations

import getpass
import json
import os
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lifecycle.address import process_address
from lifecycle.core.canonical import JSON, canonical_json
from lifecycle.core.errors import ConflictError, LifecycleError
from lifecycle.core.verdict import Row
from lifecycle.history import Change, Entry, History
from lifecycle.registry import CHAMPION, LEDGER_SUFFIX, PREVIOUS, alias_of, asking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_ENTRY, _VERDICT, _SETTLED = "lifecycle.entry", "lifecycle.verdict", "lifecycle.settled"
_ATTEMPTS = 20


class Ledger:
    """The ledger of one registered model.

    Args:
        client: Connected to the registry.
        name: The registered model.
    """

    def __init__(self, client: MlflowClient, name: str) -> None:
        self._client = client
        self.name = name
        self._ledger = f"{name}{LEDGER_SUFFIX}"

    def read(self) -> History:
        """All entries there are.

        Raises:
            LifecycleError: the registry does not answer.
        """
        with asking(self._client, f"show the ledger of {self.name}", hint="Try again when it answers."):
            return self._read()

    def _read(self) -> History:
        found: list[Entry] = []
        token = None
        while True:
            page = self._client.search_model_versions(
                f"name = '{self._ledger}'", max_results=1000, page_token=token
            )
            found += map(_entry, page)
            token = page.token
            if not token:
                return History(tuple(sorted(found, key=lambda entry: entry.number)))

    def append(self, seen: History, change: Change) -> Entry:
        """Write a change, if the alias has not been moved since.

        Args:
            seen: The ledger as it was when the change was decided on.
            change: What moves where.

        Raises:
            ConflictError: somebody was faster; says who moved the alias where.
        """
        hint = f"`lifecycle history {self.name}` shows whether it was written; then the alias follows."
        with asking(self._client, f"take the change of {self.name}@{change.alias}", hint=hint):
            return self._append(seen, change)

    def _append(self, seen: History, change: Change) -> Entry:
        for _ in range(_ATTEMPTS):
            now = self._read()
            after = [entry for entry in now.of(change.alias) if entry.number > seen.head]
            if after:
                raise self._lost(after[-1])
            entry = self._write(now.head, change)
            if entry is not None and entry.counts:
                return entry
            # Who came between may be void too, or have moved another alias.
            time.sleep(random.uniform(0, 0.1))
        raise ConflictError(
            f"the ledger of {self.name} is too busy: {_ATTEMPTS} attempts were void; nothing was moved",
            hint="Run it again.",
        )

    def _write(self, head: int, change: Change) -> Entry | None:
        """A new entry, which may be void; None when the number after `head` was taken at every attempt."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(
                self._ledger, description=f"Promotions of {self.name}, by `lifecycle promote`; not a model."
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        try:
            with process_address(self._client):
                made = self._client.create_model_version(
                    self._ledger, source=f"models:/{self.name}/{change.version}", tags=_tags(head, change)
                )
        except MlflowException as error:
            if self._read().head != head:
                return None
            reason = str(error).strip().partition("\n")[0]
            raise LifecycleError(
                f"the registry did not take the change of {self.name}@{change.alias}: {reason}",
                hint="Nothing was moved.",
            ) from error
        return _entry(made)

    def settle(self, alias: str = CHAMPION, *, repair: bool = False) -> Entry | None:
        """Let an alias follow the ledger, where somebody died between writing and moving it.

        Args:
            alias: Which one.
            repair: Also where it followed before, and was moved by others since.

        Returns:
            The entry that the alias does not follow, because others moved it; None when all is well.
        """
        while True:
            history = self.read()
            latest = history.latest(alias)
            if latest is None or self._follows(history, alias):
                if latest is not None and not latest.settled:
                    self._client.set_model_version_tag(self._ledger, str(latest.number), _SETTLED, "yes")
                return None
            if latest.settled and not repair:
                return latest
            self._move(history, alias)

    def _follows(self, history: History, alias: str) -> bool:
        return all(
            (found.number if (found := alias_of(self._client, self.name, name)) else None) == version
            for name, version in _wanted(history, alias).items()
        )

    def _move(self, history: History, alias: str) -> None:
        for name, version in _wanted(history, alias).items():
            if version is not None:
                self._client.set_registered_model_alias(self.name, name, str(version))
            elif alias_of(self._client, self.name, name) is not None:
                self._client.delete_registered_model_alias(self.name, name)

    def _lost(self, won: Entry) -> ConflictError:
        why = f" ({won.reason})" if won.reason else ""
        return ConflictError(
            f"{self.name}@{won.alias} was moved meanwhile: {won.actor} made version {won.version} "
            f"{won.alias} at {local_time(won.at)}{why}; nothing else was moved",
            hint="What was decided on is not what is there any more. Look at "
            f"`lifecycle history {self.name}`, then run it again.",
        )


def moved_by_others(entry: Entry, name: str) -> str:
    """What to say when an alias does not lead to where it was promoted to."""
    return (
        f"{name}@{entry.alias} does not lead to version {entry.version}, where it was promoted to: "
        f"others moved it. `lifecycle history {name} --repair` moves it back."
    )


def local_time(at: datetime) -> str:
    """A time as the reader's clock shows it."""
    return at.astimezone().isoformat(sep=" ", timespec="seconds")


def _wanted(history: History, alias: str) -> Mapping[str, int | None]:
    """Which versions the aliases should lead to; ``previous`` is what a rollback would bring back."""
    line = history.line(alias)
    previous = line[-2] if len(line) > 1 else None
    return {alias: line[-1], **({PREVIOUS: previous} if alias == CHAMPION else {})}


def _tags(head: int, change: Change) -> dict[str, str]:
    content: JSON = {
        "head": head,
        "alias": change.alias,
        "version": change.version,
        "before": change.before,
        "kind": change.kind,
        "actor": _actor(),
        "reason": change.reason,
        "forced": change.forced,
    }
    return {
        _ENTRY: canonical_json(content).decode(),
        _VERDICT: canonical_json([row.to_json() for row in change.verdict]).decode(),
    }


def _actor() -> str:
    """Who runs this process; its number where the system has no name for it, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


_FOREIGN: dict[str, Any] = {
    "head": -1,
    "alias": "",
    "version": 0,
    "before": None,
    "kind": "promotion",
    "actor": "",
    "reason": "",
    "forced": False,
}


def _entry(found: ModelVersion) -> Entry:
    """A version of the ledger; one that somebody else put there counts along, and for nothing."""
    content = json.loads(found.tags[_ENTRY]) if _ENTRY in found.tags else _FOREIGN
    rows = json.loads(found.tags.get(_VERDICT, "[]"))
    return Entry(
        number=int(found.version),
        at=datetime.fromtimestamp(found.creation_timestamp / 1000, tz=UTC),
        verdict=tuple(Row(**row) for row in rows),
        settled=_SETTLED in found.tags,
        **content,
    )
