"""Opening the files of a bundle: arrays in, arrays out, whatever the format.

For ONNX nothing here loads torch; the serving process goes through this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lifecycle.core.artifact import MANIFEST, Artifact
from lifecycle.core.canonical import canonical_json, sha256, sha256_file
from lifecycle.core.errors import ArtifactError, LifecycleError, UsageError
from lifecycle.core.signature import Array, Signature
from lifecycle.export.formats import Runner, load_format
from lifecycle.export.settings import RunSettings

SIGNATURE = "signature.json"
_ONE_THREAD = RunSettings()


@dataclass(frozen=True, kw_only=True)
class Model:
    """One opened file; several threads may call `run` at once.

    Attributes:
        signature: What it takes and gives.
        format: ``"onnx"`` or another name of the table of formats.
        runner: Computes the outputs, in the order of the signature, from checked inputs.
    """

    signature: Signature
    format: str
    runner: Runner = field(repr=False)
    _fits: Callable[[Mapping[str, Array]], bool] = field(init=False, repr=False, compare=False)
    _names: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # What does not change from call to call is looked up once: a call is to cost microseconds.
        object.__setattr__(self, "_fits", _checker(self.signature))
        object.__setattr__(self, "_names", tuple(spec.name for spec in self.signature.outputs))

    def check(self, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        """The same arrays, in this machine's byte order.

        Raises:
            UsageError: they are not what the signature declares; says what was expected.
        """
        if self._fits(arrays):
            return arrays
        self.signature.check(arrays)
        return {name: _native(array) for name, array in arrays.items()}

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Compute every output.

        Args:
            arrays: One array to each input of the signature, by name; the first axis is the batch.

        Returns:
            One array to each output of the signature, by name.

        Raises:
            UsageError: `arrays` are not what the signature declares; says what was expected.
            LifecycleError: the file cannot compute them all the same.
        """
        return self.compute(self.check(arrays))

    def compute(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The same for arrays that `check` gave back; raises `LifecycleError` as `run` does."""
        try:
            return dict(zip(self._names, self.runner(arrays), strict=True))
        except Exception as error:
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
            raise LifecycleError(
                f"the {self.format} file failed on {shapes}: {type(error).__name__}: {error}",
                hint="The signature may call an axis dynamic that the file cannot vary, or a value may lie "
                "outside what the network can look up.",
            ) from error


def _checker(signature: Signature) -> Callable[[Mapping[str, Array]], bool]:
    """A quick yes, for native arrays that are just as declared; a no is looked at by `Signature.check`."""
    specs = tuple((spec.name, np.dtype(spec.dtype), spec.shape) for spec in signature.inputs)
    count, axes = len(specs), dict(signature.axes)

    def fits(arrays: Mapping[str, Array]) -> bool:
        if len(arrays) != count:
            return False
        sizes: dict[str, int] = {}
        for name, dtype, shape in specs:
            array = arrays.get(name)
            if array is None or array.dtype is not dtype:
                return False
            got = array.shape
            if len(got) != len(shape):
                return False
            for want, size in zip(shape, got):  # noqa: B905 (lengths are equal, and strictness costs)
                if want.__class__ is str:
                    if size < 1 or sizes.setdefault(want, size) != size:
                        return False
                elif want != size:
                    return False
        return not axes or all(low <= sizes[axis] <= high for axis, (low, high) in axes.items())

    return fits


def _native(array: Array) -> Array:
    """ONNX Runtime misreads bytes in the other order, which a ``.npy`` file may hold, without a word."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def open_model(
    artifact: Artifact,
    format: str = "onnx",
    *,
    threads: int | None = None,
    settings: RunSettings | None = None,
) -> Model:
    """Open one file of a bundle.

    Args:
        artifact: A bundle, as `open_artifact` or `write_bundle` returned it: its bytes are verified.
        format: A name of the table of formats.
        threads: How many threads one call may use; None for as many as this process may really use, by its
            affinity and its cgroup.
        settings: Memory, optimization, providers; and threads, in place of `threads`.

    Raises:
        UsageError: the format is unknown, the artifact is no bundle, or `threads` is not positive.
        ArtifactError: the bundle lacks the format, the file was changed since, or cannot be opened.
    """
    if artifact.kind != "bundle":
        raise UsageError(
            f"{artifact.path} holds a {artifact.kind}; only a bundle can be run: export it first"
        )
    found = load_format(format)
    file = artifact.file(found.filename)
    if found.trusted_only:
        _vouched(artifact, file)
    signature = Signature.from_json(artifact.read_json(SIGNATURE))
    return open_file(file, signature, format, settings=settings or RunSettings(threads=threads))


def open_file(
    path: Path,
    signature: Signature,
    format: str,
    *,
    settings: RunSettings = _ONE_THREAD,
    as_written: bool = False,
) -> Model:
    """Open one file that this process wrote or verified itself; `open_model` is the way for everybody else.

    Args:
        path: The file.
        signature: What it takes and gives.
        format: A name of the table of formats.
        settings: Threads, memory, optimization, providers.
        as_written: Compute operator by operator what the file says, slowly, where the format can.

    Raises:
        UsageError: the format is unknown.
        ArtifactError: the file cannot be opened, or its inputs and outputs are not the signature's.
    """
    found = load_format(format)
    opener = (found.open_as_written or found.open) if as_written else found.open
    try:
        runner = opener(path, signature, settings)
    except ArtifactError:
        raise
    except Exception as error:
        raise ArtifactError(
            f"{path} cannot be opened as {format}: {type(error).__name__}: {error}"
        ) from error
    return Model(signature=signature, format=format, runner=runner)


def _vouched(artifact: Artifact, file: Path) -> None:
    """Opening runs code in the file: its bytes must still be those that the manifest names."""
    listing = artifact.read_json(MANIFEST).get("files")
    entry = listing.get(file.name) if isinstance(listing, Mapping) else None
    if not isinstance(entry, Mapping) or entry.get("sha256") != sha256_file(file):
        raise ArtifactError(
            f"{file} is not the file that {MANIFEST} names, and to open it would run code that is in it",
            hint="Restore the bundle, or export again.",
        )
    manifest = artifact.read_json(MANIFEST)
    if sha256(canonical_json(manifest)) != artifact.digest:
        raise ArtifactError(f"{artifact.path / MANIFEST} was changed since the bundle was opened")
