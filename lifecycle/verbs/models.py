"""From what is typed to the model that is meant: an alias, a version, or a folder; and images of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.errors import UsageError
from lifecycle.core.progress import working
from lifecycle.verbs.places import given_workspace

if TYPE_CHECKING:
    from lifecycle.serve.settings import ServedModel

log = logging.getLogger(__name__)


def find_model(
    model: str | Path,
    workspace: Path | None,
    *,
    follow: bool,
    tell: Callable[[str], None] = log.info,
) -> ServedModel:
    """What is to be served; verified.

    Args:
        model: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, or the folder of a bundle.
        workspace: Where the registry is, unless MLflow's environment names one.
        follow: Whether the version is to change with the alias.
        tell: Told which version it is.

    Raises:
        UsageError: there is no such model.
        ArtifactError: it is damaged.
    """
    from lifecycle.core.artifact import open_artifact
    from lifecycle.serve.settings import ServedModel

    model = str(model)
    if not model.startswith("models:/"):
        if not Path(model).is_dir():
            plain = "/" not in model and ":" not in model and "@" not in model
            raise UsageError(
                f"'{model}' is neither models:/NAME@ALIAS, models:/NAME/VERSION nor a folder",
                hint=f"A registered model's champion is named: models:/{model}@champion" if plain else "",
            )
        bundle = open_artifact(Path(model), "bundle")
        name = Path(model).resolve().parent.name
        return ServedModel(name=name, version=bundle.digest[:12], bundle=bundle.path)
    from lifecycle.registry import fetch, find_version
    from lifecycle.tracking import find_registry

    client, served = find_registry(workspace)
    version = find_version(client, model)
    tell(f"{model} is version {version.number}, digest {version.digest[:12]}")
    with working("fetching and verifying"):
        bundle, _ = fetch(client, version, served)
    alias = model if follow and "@" in model else None
    return ServedModel(name=version.name, version=str(version.number), bundle=bundle.path, follow=alias)


def package(
    *models: str | Path, into: str | Path | None = None, workspace: str | Path | None = None
) -> tuple[Path, str]:
    """Write a folder from which an image is built that serves models, without torch and without a registry.

    Args:
        models: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, or folders of bundles.
        into: The folder to write; by default NAME-VERSION-image here.
        workspace: Whose registry is asked, unless MLflow's environment names one.

    Returns:
        The folder, and what to call the image.

    Raises:
        UsageError: there is no such model, or something is in the way.
        LifecycleError: a model cannot be served.
    """
    from lifecycle.serve.packaging.packing import image_tag, pack

    found = [find_model(model, given_workspace(workspace), follow=False) for model in models]
    tag = image_tag(found)
    with working("opening the models and building a Bento"):
        made = pack(found, Path(into) if into else Path(f"{tag.replace(':', '-')}-image"))
    return made, tag
