"""Builds the stages of a Dockerfile, each as a layer over those below it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.image.dockerfile import Instruction, Stage, command_of, context_files, filled, pairs_of
from tests.image.layers import Who, inside, root_of
from tests.image.machine import BASES, PipSettings

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, kw_only=True)
class Image:
    """Layers, lowest first, and how what they hold is started."""

    layers: tuple[Path, ...]
    environment: Mapping[str, str] = field(default_factory=lambda: {"PATH": PATH})
    arguments: Mapping[str, str] = field(default_factory=dict)
    who: Who = field(default_factory=Who)
    folder: str = "/"
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    health: Instruction | None = None
    ports: tuple[int, ...] = ()


class Builder:
    """Builds what is asked for and what that is made from, each stage once.

    Args:
        stages: Of the Dockerfile.
        context: The folder that COPY copies from.
        work: Where layers and mounts are kept.
        base: The root that stands for the official image.
        pip: How packages are found meanwhile; nothing of it stays in a layer but empty mount points.
        arguments: Values of ARGs that are given, as with `docker build --build-arg`.
        say: Told of each step.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        context: Path,
        work: Path,
        *,
        base: Path,
        pip: PipSettings,
        arguments: Mapping[str, str],
        say: Callable[[str], None],
    ) -> None:
        self._stages = {stage.name: stage for stage in stages}
        self._context, self._work, self._base = context, work, base
        self._pip, self._given, self._say = pip, arguments, say
        self._built: dict[str, Image] = {}
        self._keys: dict[str, str] = {}

    def build(self, name: str) -> Image:
        """The image of a stage."""
        if name in BASES:
            return Image(layers=(self._base,))
        if name not in self._built:
            self._built[name] = self._build(self._stages[name])
        return self._built[name]

    def _build(self, stage: Stage) -> Image:
        below = self.build(stage.base)
        for source in (step.options.get("from") for step in stage.instructions):
            if source:
                self.build(source)
        began = time.monotonic()
        layer = self._work / "layers" / f"{stage.name}-{self._key(stage)}"
        image = replace(below, arguments={})
        mount = self._work / "mounts" / stage.name
        whole = layer.with_suffix(".whole")
        if whole.exists():
            self._say(f"{stage.name} was built before from the same")
            for step in stage.instructions:
                if step.word not in ("RUN", "COPY"):
                    image = self._set(step, image)
            return replace(image, layers=(*below.layers, layer))
        with root_of(below.layers, layer, self._pip.files, at=mount) as root:
            for step in stage.instructions:
                self._say(f"{stage.name}:{step.line} {step.word} {step.text[:90]}")
                image = self._do(step, image, root)
        whole.touch()
        self._say(f"{stage.name} built in {time.monotonic() - began:.0f} s")
        return replace(image, layers=(*below.layers, layer))

    def _key(self, stage: Stage) -> str:
        """Over all that the stage is made from."""
        if stage.name not in self._keys:
            found = hashlib.sha256(repr([self._given, stage.base, stage.instructions]).encode())
            sources = [stage.base, *(step.options.get("from", "") for step in stage.instructions)]
            for name in sources:
                found.update(self._key(self._stages[name]).encode() if name in self._stages else b"")
            if any(step.word == "COPY" and "from" not in step.options for step in stage.instructions):
                for path in context_files(self._context):
                    place = self._context / path
                    found.update(os.fsencode(path))
                    found.update(
                        os.fsencode(os.readlink(place)) if place.is_symlink() else place.read_bytes()
                    )
            self._keys[stage.name] = found.hexdigest()[:16]
        return self._keys[stage.name]

    def _do(self, step: Instruction, image: Image, root: Path) -> Image:
        match step.word:
            case "RUN":
                self._run(step, image, root)
            case "COPY":
                self._copy(step, image, root)
            case "WORKDIR":
                (root / step.text.lstrip("/")).mkdir(parents=True, exist_ok=True)
                return self._set(step, image)
            case _:
                return self._set(step, image)
        return image

    def _set(self, step: Instruction, image: Image) -> Image:
        """What a step that runs nothing changes of how the image is started."""
        text = filled(step.text, {**image.arguments, **image.environment})
        match step.word:
            case "ARG":
                name, _, default = step.text.partition("=")
                return replace(image, arguments={**image.arguments, name: self._given.get(name, default)})
            case "ENV":
                return replace(image, environment={**image.environment, **pairs_of(text)})
            case "USER":
                user, _, group = text.partition(":")
                return replace(image, who=Who(user=int(user), group=int(group or 0)))
            case "WORKDIR":
                return replace(image, folder=text)
            case "EXPOSE":
                return replace(image, ports=tuple(map(int, text.split())))
            case "ENTRYPOINT":
                return replace(image, entrypoint=tuple(command_of(step.text)), command=())
            case "CMD":
                return replace(image, command=tuple(command_of(step.text)))
            case "HEALTHCHECK":
                return replace(image, health=step)
        raise AssertionError(step)

    def _run(self, step: Instruction, image: Image, root: Path) -> None:
        environment = {**self._pip.variables, "HOME": "/root", **image.arguments, **image.environment}
        command = inside(root, command_of(step.text), environment, image.folder, image.who)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(
                f"line {step.line} of the Dockerfile ended with {done.returncode}: {step.text}\n"
                f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
            )

    def _copy(self, step: Instruction, image: Image, root: Path) -> None:
        *sources, target = step.text.split()
        into = root / (Path(image.folder) / target).as_posix().lstrip("/")
        stage = step.options.get("from")
        if stage is None:
            files = context_files(self._context)
            for source in sources:
                _copy_from_context(self._context, files, source, into, as_folder=target.endswith("/"))
            return
        made = self.build(stage)
        scratch = self._work / "scratch" / stage
        with root_of(made.layers, scratch, at=self._work / "mounts" / f"from-{stage}") as other:
            for source in sources:
                _copied(other / source.lstrip("/"), into, as_folder=target.endswith("/"))


def _copy_from_context(
    context: Path, files: Sequence[Path], source: str, into: Path, *, as_folder: bool
) -> None:
    """A file, or what a folder holds of the files that the build is given."""
    found = [path for path in files if path == Path(source) or Path(source) in path.parents]
    if not found:
        raise SystemExit(f"COPY {source}: the build is not given it (see .dockerignore)")
    for path in found:
        inner = path.relative_to(source)
        place = into / inner if path != Path(source) else (into / path.name if as_folder else into)
        place.parent.mkdir(parents=True, exist_ok=True)
        _copied(context / path, place, as_folder=False)


def _copied(source: Path, into: Path, *, as_folder: bool) -> None:
    """As COPY does it: what a folder holds, owned by root; links stay links."""
    if source.is_dir() and not source.is_symlink():
        into.mkdir(parents=True, exist_ok=True)
        words = ["cp", "-R", "-P", "--preserve=mode,timestamps,links", f"{source}/.", str(into)]
    else:
        words = [
            "cp",
            "-P",
            "--preserve=mode,timestamps",
            str(source),
            str(into / "." if as_folder else into),
        ]
    subprocess.run(words, check=True)
