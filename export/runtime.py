"""Opening the files of a bundle: arrays in, arrays out, whatever the format.

For ONNX nothing here loads torch; the serving process goes through this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import ArtifactError, LifecycleError, UsageError
from lifecycle.core.signature import Array, Signature
from lifecycle.export.formats import Runner, load_format

SIGNATURE = "signature.json"


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
        self.signature.check(arrays)
        try:
            outputs = self.runner({name: _native(array) for name, array in arrays.items()})
        except Exception as error:
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
            raise LifecycleError(
                f"the {self.format} file failed on {shapes}: {type(error).__name__}: {error}",
                hint="The signature may call an axis dynamic that the file cannot vary.",
            ) from error
        return {spec.name: array for spec, array in zip(self.signature.outputs, outputs, strict=True)}


def _native(array: Array) -> Array:
    """ONNX Runtime misreads bytes in the other order, which a ``.npy`` file may hold, without a word."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def open_model(artifact: Artifact, format: str = "onnx", *, threads: int = 1) -> Model:
    """Open one file of a bundle.

    Args:
        artifact: A bundle, as `open_artifact` or `write_bundle` returned it: its bytes are verified.
        format: A name of the table of formats.
        threads: How many threads one call may use.

    Raises:
        UsageError: the format is unknown, the artifact is no bundle, or `threads` is not positive.
        ArtifactError: the bundle lacks the format, or the file cannot be opened.
    """
    if artifact.kind != "bundle":
        raise UsageError(
            f"{artifact.path} holds a {artifact.kind}; only a bundle can be run: export it first"
        )
    file = artifact.file(load_format(format).filename)
    signature = Signature.from_json(artifact.read_json(SIGNATURE))
    return open_file(file, signature, format, threads=threads)


def open_file(
    path: Path, signature: Signature, format: str, *, threads: int = 1, as_written: bool = False
) -> Model:
    """Open one file that this process wrote or verified itself; `open_model` is the way for everybody else.

    Args:
        path: The file.
        signature: What it takes and gives.
        format: A name of the table of formats.
        threads: How many threads one call may use.
        as_written: Compute operator by operator what the file says, slowly, where the format can.

    Raises:
        UsageError: the format is unknown, or `threads` is not positive.
        ArtifactError: the file cannot be opened, or its inputs and outputs are not the signature's.
    """
    if threads < 1:
        raise UsageError(f"threads must be 1 or more, got {threads}")
    found = load_format(format)
    opener = (found.open_as_written or found.open) if as_written else found.open
    try:
        runner = opener(path, signature, threads)
    except ArtifactError:
        raise
    except Exception as error:
        raise ArtifactError(
            f"{path} cannot be opened as {format}: {type(error).__name__}: {error}"
        ) from error
    return Model(signature=signature, format=format, runner=runner)
