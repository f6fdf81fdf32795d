"""What registered versions, aliases and kept ledger entries stand on: files, runs, artifacts by digest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lifecycle.collection.retention import Retention
from lifecycle.ledger import Ledger
from lifecycle.registry import DIGEST, EVALUATION, LEDGER_SUFFIX, RUN, model_names

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_MODEL = re.compile(r"(?:^models:/|/models/)(m-[0-9a-f]{32})(?:/|$)")


@dataclass
class Needed:
    """What must stay.

    Attributes:
        versions: Registered versions, as ``NAME/NUMBER``.
        models: Ids of logged models: where the files of those versions lie.
        locations: Addresses of their files.
        runs: Ids of the runs that made them.
        digests: Of their bundles and evaluations.

    Of models and runs the version is kept that needs them first, for messages.
    """

    versions: set[str] = field(default_factory=set)
    models: dict[str, str] = field(default_factory=dict)
    locations: set[str] = field(default_factory=set)
    runs: dict[str, str] = field(default_factory=dict)
    digests: set[str] = field(default_factory=set)

    def add(self, client: MlflowClient, version: ModelVersion) -> None:
        """Keep a version and what it stands on; a copied one points to the files of another."""
        label = f"{version.name} version {version.version}"
        self.versions.add(f"{version.name}/{version.version}")
        location = client.get_model_version_download_uri(version.name, str(version.version))
        self.locations.add(location)
        for text in (version.source or "", location):
            if match := _MODEL.search(text):
                self.models.setdefault(match[1], label)
        if version.model_id:
            self.models.setdefault(version.model_id, label)
        for run_id in (version.run_id, version.tags.get(RUN)):
            if run_id:
                self.runs.setdefault(run_id, label)
        self.digests |= {version.tags[tag] for tag in (DIGEST, EVALUATION) if version.tags.get(tag)}

    def holds(self, location: str) -> bool:
        """Whether files of a kept version lie below an address."""
        below = location.rstrip("/") + "/"
        return any(f"{kept.rstrip('/')}/".startswith(below) for kept in self.locations)


def find_needed(client: MlflowClient, *, without: Iterable[str] = ()) -> Needed:
    """What all registered versions need, but for some.

    Args:
        client: Connected to the registry.
        without: Versions that are to go, as ``NAME/NUMBER``.
    """
    needed, gone = Needed(), set(without)
    for name in model_names(client):
        for version in versions_of(client, name):
            if f"{name}/{version.version}" not in gone:
                needed.add(client, version)
    return needed


def keep_ledgers(client: MlflowClient, needed: Needed, retention: Retention) -> None:
    """Add what kept ledger entries point to: its version may have been deleted in MLflow, not its files."""
    now = datetime.now(UTC)
    for name in _ledgers(client):
        history = Ledger(client, name).read()
        for entry in retention.entries(history, now):
            if f"{name}/{entry.version}" not in needed.versions:
                needed.add(client, client.get_model_version(f"{name}{LEDGER_SUFFIX}", str(entry.number)))


def _ledgers(client: MlflowClient) -> Iterator[str]:
    """The models that have a ledger; the model itself may have been deleted since."""
    token = None
    while True:
        page = client.search_registered_models(max_results=100, page_token=token)
        for model in page:
            if model.name.endswith(LEDGER_SUFFIX):
                yield model.name.removesuffix(LEDGER_SUFFIX)
        token = page.token
        if not token:
            return


def unneeded_versions(client: MlflowClient, retention: Retention) -> list[ModelVersion]:
    """Registered versions without an alias that no kept ledger entry names, older than the days to keep."""
    now = datetime.now(UTC)
    found: list[ModelVersion] = []
    for name in model_names(client):
        aliased = {int(number) for number in client.get_registered_model(name).aliases.values()}
        kept = aliased | retention.versions(Ledger(client, name).read(), now)
        oldest = retention.since(now).timestamp() * 1000
        found += [
            version
            for version in versions_of(client, name)
            if int(version.version) not in kept and version.creation_timestamp <= oldest
        ]
    return found


def versions_of(client: MlflowClient, name: str) -> Iterator[ModelVersion]:
    """Every version of a registered model, page by page."""
    token = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
