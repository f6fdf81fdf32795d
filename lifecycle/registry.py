"""Registered versions: an MLflow ONNX model in which our bundle and its evaluation travel byte for byte.

Reads and writes through `MlflowClient` alone; nothing here loads torch.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.address import process_address
from lifecycle.core.artifact import Artifact, open_artifact
from lifecycle.core.errors import ArtifactError, LifecycleError, UsageError, suggest

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
CARD = "card.md"  # beside what was fetched
LEDGER_SUFFIX = ".ledger"  # of the registered model that holds the promotions of another
DIGEST, EVALUATION, CHECKPOINT, GATES, RUN = (
    "lifecycle.digest",
    "lifecycle.evaluation",
    "lifecycle.checkpoint",
    "lifecycle.gates",
    "lifecycle.run",
)
# What MLflow answers for a model, a version or an alias that is not there.
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
ALIAS, RESERVED = r"[A-Za-z_][\w-]*", r"latest|[vV]\d+"  # what an alias looks like, and MLflow's own
_URI = re.compile(r"models:/(?P<name>[^/@:]+)(?:@(?P<alias>[^/@]+)|/(?P<number>\d+))")


@dataclass(frozen=True, kw_only=True)
class Version:
    """A registered version.

    Attributes:
        name: The registered model.
        number: Counts from 1.
        source: Where MLflow keeps its files.
        tags: Digests, gates and measured facts.
        description: Its model card, Markdown; empty when it has none.
    """

    name: str
    number: int
    source: str
    tags: Mapping[str, str]
    description: str = ""

    @property
    def digest(self) -> str:
        """Digest of its bundle, as registered."""
        return self.tags.get(DIGEST, "")


def find_version(client: MlflowClient, uri: str) -> Version:
    """The version that ``models:/NAME@ALIAS`` or ``models:/NAME/NUMBER`` stands for.

    Raises:
        UsageError: the text is neither, or there is no such model, alias or version; lists what there is.
    """
    from mlflow.exceptions import MlflowException

    match = _URI.fullmatch(uri)
    if match is None:
        raise UsageError(f"'{uri}' names no version: expected models:/NAME@ALIAS or models:/NAME/NUMBER")
    name = match["name"]
    try:
        if match["alias"]:
            return version_of(client.get_model_version_by_alias(name, match["alias"]))
        return version_of(client.get_model_version(name, match["number"]))
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise LifecycleError(f"the registry does not answer for '{uri}': {error}") from error
        raise UsageError(_absent(client, uri, name), hint=_hint(client, name)) from error


def alias_of(client: MlflowClient, name: str, alias: str) -> Version | None:
    """The version under an alias, or None; an error of the registry is not taken for None."""
    try:
        return find_version(client, f"models:/{name}@{alias}")
    except UsageError:
        return None


def set_alias(client: MlflowClient, version: Version, alias: str) -> None:
    """Point an alias at a version."""
    client.set_registered_model_alias(version.name, alias, str(version.number))


def check_alias(alias: str, *, reserved: Iterable[str] = ()) -> None:
    """See that a text may be an alias.

    Args:
        alias: The text.
        reserved: Aliases that are set in another way; MLflow's own, ``latest`` and ``v1``, …, always are.

    Raises:
        UsageError: it may not be.
    """
    if alias in reserved or re.fullmatch(RESERVED, alias):
        raise UsageError(f"alias '{alias}' is reserved; use another, such as {CHALLENGER}")
    if not re.fullmatch(ALIAS, alias):
        raise UsageError(f"alias is {alias!r}; expected a word, such as {CHALLENGER}")


@contextmanager
def asking(client: MlflowClient, what: str, *, hint: str) -> Iterator[None]:
    """Tell in a sentence what a registry did not do: it is away, may only be read, or is full.

    Args:
        client: Connected to the registry.
        what: Was asked of it.
        hint: What that means, and what to do.

    Raises:
        LifecycleError: in place of what MLflow raises.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        address = re.sub(r"//[^/@]*@", "//", str(client.tracking_uri))  # no passwords
        reason = str(error).strip().partition("\n")[0][:300]
        raise LifecycleError(f"the registry at {address} did not {what}: {reason}", hint=hint) from error


def fetch(client: MlflowClient, version: Version, folder: Path) -> tuple[Artifact, Artifact]:
    """Copy a version's bundle and evaluation out of the registry, and verify them.

    Args:
        client: Connected to the registry.
        version: Which one.
        folder: Where fetched content is kept by digest; what is there already is verified and used again.

    Raises:
        ArtifactError: a byte differs from what was registered.
    """
    bundle, evaluation = _fetch(client, version, folder, {"bundle": DIGEST, "evaluation": EVALUATION})
    _write_card(bundle.path.parent, version)
    return bundle, evaluation


def fetch_checkpoint(client: MlflowClient, version: Version, folder: Path) -> Artifact:
    """Copy out the checkpoint that a version's bundle was exported from: its code, weights and data's name.

    Args:
        client: Connected to the registry.
        version: Which one.
        folder: As for `fetch`.

    Raises:
        ArtifactError: it was registered without one, or a byte differs from what was registered.
    """
    if CHECKPOINT not in version.tags:
        raise ArtifactError(
            f"{version.name} version {version.number} was registered without the checkpoint that it was made "
            "from: it cannot be scored again",
            hint="Run its pipeline again, which registers it with one.",
        )
    [checkpoint] = _fetch(client, version, folder, {"checkpoint": CHECKPOINT})
    return checkpoint


def _fetch(client: MlflowClient, version: Version, folder: Path, parts: Mapping[str, str]) -> list[Artifact]:
    """The parts of a version, each with the tag that has its digest."""
    into = folder / "-".join(version.tags.get(tag, "")[:32] for tag in parts.values())
    if into.is_dir():
        try:
            return _verified(into, version, parts)
        except ArtifactError:
            shutil.rmtree(into)  # damaged here; the registry's own copy may be whole
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetched-") as aside:
        _download(client, version, Path(aside) / "content", parts)
        _verified(Path(aside) / "content", version, parts)
        try:
            (Path(aside) / "content").rename(into)
        except OSError:
            if not into.is_dir():  # else another process was faster
                raise
    return _verified(into, version, parts)


def _write_card(folder: Path, version: Version) -> None:
    """The card beside what was fetched, as it reads now: people may have edited it in the registry."""
    path = folder / CARD
    if path.is_file() and path.read_text() == version.description:
        return
    aside = path.with_name(f".{CARD}.{os.getpid()}")
    aside.write_text(version.description)
    aside.rename(path)


def _download(client: MlflowClient, version: Version, into: Path, parts: Iterable[str]) -> None:
    from mlflow.artifacts import download_artifacts

    into.mkdir()
    hint = "Nothing was changed. Try again when it answers."
    what = f"give the files of {version.name} version {version.number}"
    with process_address(client), asking(client, what, hint=hint):
        for part in parts:
            download_artifacts(f"models:/{version.name}/{version.number}/{part}", dst_path=str(into))


def _verified(folder: Path, version: Version, parts: Mapping[str, str]) -> list[Artifact]:
    """Open what was fetched; raises `ArtifactError` unless it is what was registered."""
    found = []
    for kind, tag in parts.items():
        artifact = open_artifact(folder / kind, kind)
        if artifact.digest != version.tags.get(tag):
            raise ArtifactError(
                f"{version.name} version {version.number}: its {kind} is {artifact.digest[:12]}, "
                f"registered was {version.tags.get(tag, '(nothing)')[:12]}"
            )
        found.append(artifact)
    return found


def gates_of(version: Version) -> dict[str, dict[str, float]]:
    """The thresholds kept on a version."""
    content: dict[str, dict[str, float]] = json.loads(version.tags.get(GATES) or "{}")
    return content


def version_of(found: ModelVersion) -> Version:
    """MLflow's version as ours; its number is text from a server and a number from SQLite."""
    return Version(
        name=found.name,
        number=int(found.version),
        source=found.source or "",
        tags=dict(found.tags),
        description=found.description or "",
    )


def model_names(client: MlflowClient) -> list[str]:
    """Every registered model, in the order of the alphabet; ledgers are none."""
    found, token = list[str](), None
    while True:
        page = client.search_registered_models(max_results=100, page_token=token)
        found += [model.name for model in page if not model.name.endswith(LEDGER_SUFFIX)]
        token = page.token
        if not token:
            return sorted(found)


def known_model(client: MlflowClient, name: str) -> None:
    """See that there is such a registered model.

    Raises:
        UsageError: there is none; lists those that there are.
    """
    names = model_names(client)
    if name not in names:
        raise UsageError(f"no registered model '{name}': {suggest(name, names)}", hint=_hint(client, name))


def _absent(client: MlflowClient, uri: str, name: str) -> str:
    models = model_names(client)
    if name not in models:
        return f"'{uri}': no registered model '{name}': {suggest(name, models)}"
    aliases = client.get_registered_model(name).aliases
    numbers = sorted(int(item.version) for item in client.search_model_versions(f"name = '{name}'"))
    shown = ", ".join(f"@{alias} → {number}" for alias, number in sorted(aliases.items())) or "(none)"
    return f"'{uri}' does not exist; aliases: {shown}; versions: {', '.join(map(str, numbers)) or '(none)'}"


def _hint(client: MlflowClient, name: str) -> str:
    shown = name if name in model_names(client) else "NAME"  # never a command with the mistake in it
    return f"`lifecycle run` registers a challenger; `lifecycle promote {shown}` makes it champion."
