"""How long a module takes as the ONNX file that it will be served as: what a latency target means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from lifecycle.core.canonical import JSON, canonical_json, sha256, write_whole
from lifecycle.core.signature import Signature
from lifecycle.export.benchmark import measure_latency
from lifecycle.export.network import Network
from lifecycle.export.settings import RunSettings
from lifecycle.export.to_onnx import open_onnx, write_onnx
from lifecycle.train.describe import arrays, example_inputs
from lifecycle.train.modes import mode_of

if TYPE_CHECKING:
    from lifecycle.train.module import Module


class OnnxLatency:
    """Median latency of a module's ONNX file, batch 1, one thread, in milliseconds.

    What the clock said is kept in a journal, by the shapes of the weights: a run that was killed decides the
    same again.

    Args:
        signature: Names inputs and outputs.
        folder: For the files and the journal.
        calls: How often a file is called.
    """

    def __init__(self, signature: Signature, folder: Path, *, calls: int = 200) -> None:
        self.signature = signature
        self.folder = folder
        self.calls = calls
        self.journal = folder / "latencies.json"
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, module: nn.Module) -> float:
        """Measure it, or read what was measured before."""
        known = self._read()
        key = sha256(canonical_json([[n, list(t.shape)] for n, t in module.state_dict().items()]))
        if key not in known:
            known[key] = self._measure(cast("Module", module))
            write_whole(self.journal, json.dumps(known).encode())
        return known[key]

    def beside(self, module: nn.Module, other: nn.Module) -> float:
        """Latency of a module as a fraction of another's, called in turn."""
        known = self._read()
        shapes: list[JSON] = [
            [[n, list(t.shape)] for n, t in each.state_dict().items()] for each in (module, other)
        ]
        key = sha256(canonical_json(shapes))
        if key not in known:
            runs = {name: self._runner(cast("Module", each)) for name, each in (("a", module), ("b", other))}
            found = measure_latency(runs, calls=self.calls)
            known[key] = found["a"].median_ms / found["b"].median_ms
            write_whole(self.journal, json.dumps(known).encode())
        return known[key]

    def _measure(self, module: Module) -> float:
        return measure_latency({"file": self._runner(module)}, calls=self.calls)["file"].median_ms

    def _runner(self, module: Module) -> Any:
        inputs = arrays(self.signature, example_inputs(module))
        path = self.folder / "measured.onnx"
        with mode_of(module, training=False):
            write_onnx(Network(module, self.signature, inputs), path)
        run = open_onnx(path, self.signature, RunSettings(threads=1))
        path.unlink()
        one = {name: array[:1] for name, array in inputs.items()}
        return lambda: run(one)

    def _read(self) -> dict[str, float]:
        return (
            cast("dict[str, float]", json.loads(self.journal.read_bytes())) if self.journal.exists() else {}
        )
