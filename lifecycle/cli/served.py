"""From what is typed to the model that is meant: an alias, a version, or a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.cli.output import print_note
from lifecycle.core.errors import UsageError
from lifecycle.core.progress import working

if TYPE_CHECKING:
    from lifecycle.serve.settings import ServedModel


def find_model(model: str, workspace: Path | None, *, follow: bool) -> ServedModel:
    """What is to be served; verified.

    Args:
        model: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, or the folder of a bundle.
        workspace: Where the registry is, unless MLflow's environment names one.
        follow: Whether the version is to change with the alias.

    Raises:
        UsageError: there is no such model.
        ArtifactError: it is damaged.
    """
    from lifecycle.core.artifact import open_artifact
    from lifecycle.serve.settings import ServedModel

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
    print_note(f"{model} is version {version.number}, digest {version.digest[:12]}")
    with working("fetching and verifying"):
        bundle, _ = fetch(client, version, served)
    alias = model if follow and "@" in model else None
    return ServedModel(name=version.name, version=str(version.number), bundle=bundle.path, follow=alias)
