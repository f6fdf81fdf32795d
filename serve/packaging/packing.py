"""A folder from which an image is built: a Bento, everything pinned, and a Containerfile.

::

    FOLDER/
      Containerfile          for docker or podman; not root, with a health check
      README.md              how to build and run it
      bento/                 a Bento, as BentoML builds it: `bentoml serve FOLDER/bento`
        src/                 service.py, models.json, models/NAME/bundle, this package without what trains
        env/python/requirements.txt

Whatever is in it follows from the bundles, this package and the versions installed here: the same in, the
same out, to the byte.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

import yaml

from lifecycle.core.artifact import Artifact, open_artifact
from lifecycle.core.canonical import JSON, canonical_json, readable_json, sha256, sha256_file
from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.registry import CARD
from lifecycle.serve.dataplane import DataPlane
from lifecycle.serve.description.openapi import document
from lifecycle.serve.endpoint import open_endpoint
from lifecycle.serve.measured import EVALUATION
from lifecycle.serve.packaging.packed import MODELS
from lifecycle.serve.packaging.requirements import pinned
from lifecycle.serve.settings import ServedModel

_LEFT_OUT = ("train", "compress", "pipeline", "stages", "cli", "report", "gates")
_TEMPLATES = Path(__file__).parent / "templates"


def pack(models: Sequence[ServedModel], into: Path) -> Path:
    """Write the folder; it appears whole or not at all.

    Args:
        models: What is to be served; each is verified, opened and run once.
        into: Where; must not be there yet, or be empty.

    Returns:
        `into`.

    Raises:
        UsageError: something is in the way.
        LifecycleError: a model cannot be served, BentoML cannot build it, or a distribution is missing.
    """
    into = into.resolve()
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise UsageError(f"{into} is there already", hint="Remove it, or name another folder with --into.")
    described = _described(models)
    bundles = [open_artifact(model.bundle, "bundle") for model in models]
    into.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(
            prefix="lifecycle-package-"
        ) as work,  # BentoML builds in no hidden folder
        tempfile.TemporaryDirectory(prefix=f".{into.name}.", dir=into.parent) as aside,
    ):
        context, draft = Path(work) / "context", Path(aside) / "draft"
        words = _words(models, bundles)
        _write_context(models, bundles, words, context)
        bento = _build(context, Path(work) / "home")
        _settle(bento, described, made=max(str(bundle.facts.get("made", "")) for bundle in bundles))
        shutil.copytree(bento, draft / "bento")
        for name in ("Containerfile", "README.md"):
            (draft / name).write_text(_filled(name, words))
        if into.exists():
            into.rmdir()
        draft.rename(into)
    return into


def image_tag(models: Sequence[ServedModel]) -> str:
    """What to call the image, in the letters that a tag may have.

    >>> image_tag([ServedModel(name="My Model", version="3", bundle=Path("b"))])
    'my-model:3'
    """
    name = "-".join(re.sub(r"[^a-z0-9]+", "-", model.name.lower()).strip("-") or "model" for model in models)
    return f"{name}:{models[0].version if len(models) == 1 else 'latest'}"


def _described(models: Sequence[ServedModel]) -> dict[str, JSON]:
    """The API document, which proves that each model opens and runs."""
    plane = DataPlane()
    try:
        for model in models:
            plane.put(open_endpoint(model.bundle, name=model.name, version=model.version, threads=1))
        return document(list(plane.models.values()), version="0")
    finally:
        plane.close()


def _words(models: Sequence[ServedModel], bundles: Sequence[Artifact]) -> dict[str, str]:
    """What the templates are filled with."""
    lines = (
        f"{model.name} version {model.version} (digest {bundle.digest[:12]})"
        for model, bundle in zip(models, bundles, strict=True)
    )
    return {
        "models": ", ".join(lines),
        "tag": image_tag(models),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
    }


def _write_context(
    models: Sequence[ServedModel], bundles: Sequence[Artifact], words: Mapping[str, str], context: Path
) -> None:
    """What goes into the Bento, and the file that tells BentoML so."""
    root = Path(__file__).absolute().parents[2]  # of this package, whether its folders are links or not
    left_out = {str(root / name) for name in _LEFT_OUT}

    def ignore(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if name == "__pycache__" or str(Path(folder) / name) in left_out]

    shutil.copytree(root, context / "lifecycle", ignore=ignore)
    entries: list[JSON] = []
    for model, bundle in zip(models, bundles, strict=True):
        folder = Path("models") / re.sub(r"[^A-Za-z0-9._-]", "_", model.name)
        shutil.copytree(bundle.path, context / folder / "bundle")
        if (bundle.path.parent / EVALUATION).is_dir():
            shutil.copytree(bundle.path.parent / EVALUATION, context / folder / EVALUATION)
        if (bundle.path.parent / CARD).is_file():
            shutil.copy(bundle.path.parent / CARD, context / folder / CARD)
        entries.append({"name": model.name, "version": model.version, "bundle": str(folder / "bundle")})
    (context / MODELS).write_bytes(readable_json(entries))
    for name in ("service.py", "README.md"):
        (context / name).write_text(_filled(name, words))
    content = {
        "service": "service:service",
        "name": words["tag"].partition(":")[0],
        "include": ["*"],
        "description": "file:README.md",
        "python": {"packages": pinned(), "lock_packages": False, "pack_git_packages": False},
    }
    (context / "bentofile.yaml").write_text(yaml.safe_dump(content))


def _build(context: Path, home: Path) -> Path:
    """Have BentoML build it, in a process and a store of its own; returns its folder."""
    command = [sys.executable, "-P", "-m", "bentoml", "build", str(context)]
    command += ["--version", _fingerprint(context), "--output", "tag"]
    environment = {**os.environ, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    done = subprocess.run(command, env=environment, cwd=context, capture_output=True, text=True, check=False)
    found = re.search(r"__tag__:([^:\s]+):(\S+)", done.stdout)
    if done.returncode or found is None:
        raise LifecycleError(f"BentoML could not build the Bento:\n{(done.stderr or done.stdout)[-2000:]}")
    return home / "bentos" / found[1] / found[2]


def _fingerprint(folder: Path) -> str:
    """Of names and contents of all files."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    listing: dict[str, JSON] = {path.relative_to(folder).as_posix(): sha256_file(path) for path in paths}
    return sha256(canonical_json(listing))[:12]


def _settle(bento: Path, described: Mapping[str, JSON], *, made: str) -> None:
    """Take the hour of building out, and say what is really served: BentoML knows its own routes only."""
    path = bento / "bento.yaml"
    content = yaml.safe_load(path.read_text())
    content["creation_time"] = made or "1970-01-01T00:00:00+00:00"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    (bento / "apis" / "openapi.yaml").write_text(json.dumps(described, indent=2))
    shutil.rmtree(bento / "env" / "docker", ignore_errors=True)  # BentoML's, superseded by the Containerfile


def _filled(name: str, words: Mapping[str, str]) -> str:
    return Template((_TEMPLATES / f"{name}.jinja").read_text()).substitute(words)
