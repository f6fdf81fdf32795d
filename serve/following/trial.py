"""A version is tried before it is served: in a process of its own, which it may crash, fill or hang.

``python -m lifecycle.serve.following.trial BUNDLE DIGEST SERVED`` ends with 0 when the bundle may take the
place of the one that is served, and with 3 and the reason on stdout when it may not.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from lifecycle.core.artifact import Artifact, open_artifact
from lifecycle.core.compatibility import breaks
from lifecycle.core.errors import LifecycleError, RefusedError
from lifecycle.core.signature import Array, Signature
from lifecycle.export.runtime import Model, open_model

TIMEOUT_S = 300.0
PROGRAM = ("-m", "lifecycle.serve.following.trial")
_REFUSED = RefusedError.exit_code
_SIZES = (1, 2, 7)
_LOOK_S = 0.5


def try_apart(bundle: Path, digest: str, served: Path, *, timeout_s: float = TIMEOUT_S) -> None:
    """`try_bundle` in another process, at low priority.

    Args:
        bundle: Folder of the candidate.
        digest: What its bytes are to be.
        served: Folder of the bundle that is served.
        timeout_s: How long it may take.

    Raises:
        RefusedError: it may not be served; says why.
    """
    command = [sys.executable, "-P", *PROGRAM, str(bundle), digest, str(served)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise RefusedError(f"it did not answer within {timeout_s:g} s") from None
    if done.returncode == _REFUSED:
        raise RefusedError(done.stdout.decode(errors="replace").strip())
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise RefusedError(f"the process that tried it ended with {how}" + (f": {last}" if last else ""))


def try_bundle(bundle: Path, digest: str, served: Path) -> None:
    """Open it, compare what it takes and gives, and have it answer.

    Raises:
        RefusedError: its bytes are not those registered, it cannot be opened or run, a client of what is
            served could not go on with it, or it answers with NaN or infinity where that one does not.
    """
    try:
        artifact = open_artifact(bundle, "bundle")
        if artifact.digest != digest:
            raise RefusedError(f"its bundle is {artifact.digest[:12]}, registered was {digest[:12]}")
        before = open_artifact(served, "bundle")
        broken = breaks(_signature(before), _signature(artifact))
        if broken:
            raise RefusedError("it has another signature: " + "; ".join(broken))
        candidate = open_model(artifact, "onnx", threads=1)
        culprit = _first_not_finite(candidate)
        if culprit is not None and _first_not_finite(open_model(before, "onnx", threads=1)) is None:
            raise RefusedError(culprit)
    except RefusedError:
        raise
    except LifecycleError as error:
        raise RefusedError(error.message) from error


def inputs_to_try(signature: Signature) -> Iterator[tuple[str, dict[str, Array]]]:
    """Random inputs of a few batch sizes, and all inputs at either end of their ranges; each with its name.

    None where a dynamic axis beside the leading ones has no limits: nobody can say which sizes make sense.
    """
    inner = {axis for spec in signature.inputs for axis in spec.shape[1:] if isinstance(axis, str)}
    if inner - set(signature.axes):
        return
    generator = np.random.default_rng(0)
    for size in _SIZES:
        sizes = signature.sizes(size)
        arrays = {spec.name: spec.random(generator, **sizes) for spec in signature.inputs}
        yield f"random inputs of batch {size}", arrays
    sizes = signature.sizes(1)
    for word, end in (("least", 0), ("greatest", 1)):
        values = {spec.name: (spec.range or (0.0, 1.0))[end] for spec in signature.inputs}
        yield f"inputs of the {word} values", _filled(signature, values, sizes)


def _filled(signature: Signature, values: Mapping[str, float], sizes: Mapping[str, int]) -> dict[str, Array]:
    return {
        spec.name: np.full(
            tuple(sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape),
            values[spec.name],
            spec.dtype,
        )
        for spec in signature.inputs
    }


def _first_not_finite(model: Model) -> str | None:
    for what, arrays in inputs_to_try(model.signature):
        for name, array in model.run(arrays).items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                return f"output '{name}' has {array[~np.isfinite(array)].flat[0]} at {what}"
    return None


def _signature(bundle: Artifact) -> Signature:
    return Signature.from_json(bundle.read_json("signature.json"))


def _end_with(parent: int) -> None:
    """Nobody waits for the result any more when the process that wants it is gone."""
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)


def main() -> int:
    """Try the bundle that the arguments name."""
    bundle, digest, served = sys.argv[1:]
    os.nice(10)  # those who are served now come first
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        try_bundle(Path(bundle), digest, Path(served))
    except RefusedError as error:
        print(error.message)
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
