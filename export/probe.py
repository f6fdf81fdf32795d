"""One file in a process of its own: what its first second costs, which no warm process can tell.

Run as ``python -m lifecycle.export.probe FILE FORMAT THREADS SAMPLES < signature.json``; prints JSON.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

from lifecycle.core.errors import LifecycleError
from lifecycle.core.memory import peak_resident_bytes
from lifecycle.core.signature import Signature

_CALLS = 20


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a file costs before it is warm.

    Attributes:
        load_ms: Opening it, its runtime imported already.
        first_ms: The first call.
        peak_mb: The process's peak resident memory after some calls, runtime included.
        added_mb: How much of that came after the runtime was imported.
    """

    load_ms: float
    first_ms: float
    peak_mb: float
    added_mb: float


def probe(path: Path, signature: Signature, format: str, threads: int, samples: int) -> Start:
    """Measure a file in a fresh process.

    Raises:
        LifecycleError: it cannot be opened or run there; says why.
    """
    import subprocess

    # By its code rather than by name: a module that runs is not to be imported a second time.
    program = "from lifecycle.export.probe import main; main()"
    command = [sys.executable, "-c", program, str(path), format, str(threads), str(samples)]
    done = subprocess.run(
        command, input=json.dumps(signature.to_json()), capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        raise LifecycleError(f"{path} cannot be run in a process of its own: {reason}")
    return Start(**json.loads(done.stdout))


def main() -> None:
    """Measure the file that the arguments name, and print what was found."""
    path, format, threads, samples = sys.argv[1:]
    signature = Signature.from_json(json.load(sys.stdin))
    print(json.dumps(asdict(_measure(Path(path), signature, format, int(threads), int(samples)))))


def _measure(path: Path, signature: Signature, format: str, threads: int, samples: int) -> Start:
    from lifecycle.export.batches import random_inputs
    from lifecycle.export.runtime import open_file
    from lifecycle.export.settings import RunSettings

    import_module("onnxruntime" if format == "onnx" else "torch")
    import_module("onnx" if format == "onnx" else "lifecycle.export.network")
    inputs = random_inputs(signature, samples)
    before = peak_resident_bytes() / 1e6
    started = time.perf_counter()
    model = open_file(path, signature, format, settings=RunSettings(threads=threads))
    loaded = time.perf_counter()
    model.run(inputs)
    first = time.perf_counter()
    for _ in range(_CALLS):
        model.run(inputs)
    peak = peak_resident_bytes() / 1e6
    return Start(
        load_ms=(loaded - started) * 1000,
        first_ms=(first - loaded) * 1000,
        peak_mb=peak,
        added_mb=peak - before,
    )
