"""Checks of what is installed: versions, devices, plug-ins."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, entry_points, requires, version
from pathlib import Path
from platform import python_version

from lifecycle.core import plugins
from lifecycle.core.cores import available_cores
from lifecycle.core.errors import LifecycleError
from lifecycle.doctor.finding import Finding

NAME = "model-lifecycle"


def installation() -> Iterator[Finding]:
    """Whether the libraries are there, in versions that fit, and the command is this one's."""
    from packaging.requirements import Requirement

    area = "installation"
    wrong = 0
    for text in requires(NAME) or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        mend = f"pip install '{wanted.name}{wanted.specifier}'"
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            yield Finding(area=area, what=f"{wanted.name} is not installed", state="broken", mend=mend)
            wrong += 1
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            said = f"{wanted.name} is {found}; expected {wanted.specifier}"
            yield Finding(area=area, what=said, state="broken", mend=mend)
            wrong += 1
    if not wrong:
        said = f"lifecycle {version(NAME)} on Python {python_version()}, with all it needs"
        yield Finding(area=area, what=said)
    yield from _command()


def _command() -> Iterator[Finding]:
    found = shutil.which("lifecycle")
    here = Path(sys.executable).parent
    if found is not None and Path(found).parent.resolve() != here.resolve():
        said = f"`lifecycle` on the path is {found}, and not that of {here}"
        yield Finding(area="installation", what=said, state="note", mend=f". {here}/activate")


def devices() -> Iterator[Finding]:
    """What computes here: cores, GPUs, ONNX Runtime's providers; each library is really loaded."""
    area = "devices"
    yield Finding(area=area, what=f"{available_cores()} cores may be used")
    try:
        import torch

        names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        yield Finding(area=area, what=f"torch {torch.__version__}: {', '.join(names) or 'no GPU, the CPU'}")
    except Exception as error:  # a build for another processor, a driver that is missing
        mend = "Install the build of torch that is meant for this machine."
        yield Finding(area=area, what=f"torch cannot be loaded: {error}", state="broken", mend=mend)
    try:
        import onnxruntime

        providers = ", ".join(
            name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()
        )
        yield Finding(area=area, what=f"ONNX Runtime {onnxruntime.__version__}: {providers}")
    except Exception as error:
        mend = "pip install --force-reinstall onnxruntime"
        yield Finding(area=area, what=f"ONNX Runtime cannot be loaded: {error}", state="broken", mend=mend)


def plug_ins() -> Iterator[Finding]:
    """Whether what other distributions bring loads, and is heard at all."""
    area = "plug-ins"
    found = 0
    for family in plugins.TABLES:
        for point in entry_points(group=f"lifecycle.{family}"):
            found += 1
            kind = "strategy" if family == "strategies" else family[:-1]
            where = f"{kind} '{point.name}' of {point.dist.name if point.dist else 'an unknown package'}"
            if point.name in plugins.TABLES[family]:
                said = f"{where} is not used: what is built in cannot be replaced"
                yield Finding(area=area, what=said, state="note", mend="Give it another name.")
                continue
            try:
                _load(family, point.name)
            except LifecycleError as error:
                yield Finding(area=area, what=error.message, state="broken", mend=error.hint)
            else:
                yield Finding(area=area, what=f"{where} loads")
    if not found:
        yield Finding(area=area, what="none is installed")


def _load(family: str, name: str) -> object:
    """Load an extension as whoever uses it would."""
    from lifecycle.export.formats import load_format
    from lifecycle.pipeline.plugin import load_stage
    from lifecycle.train.accelerators import load_accelerator
    from lifecycle.train.precision.choice import load_precision
    from lifecycle.train.strategies.choice import load_strategy

    loaders: dict[str, Callable[[str], object]] = {
        "stages": load_stage,
        "formats": load_format,
        "accelerators": load_accelerator,
        "precisions": load_precision,
        "strategies": load_strategy,
    }
    return loaders[family](name) if family in loaders else plugins.load(family, name)
