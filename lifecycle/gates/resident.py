"""``python -m lifecycle.gates.resident BUNDLE``: how much memory a file takes when it is served, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import psutil

from lifecycle.core.artifact import open_artifact
from lifecycle.export.runtime import open_model

_BATCHES = (1, 16)


def main(bundle: Path) -> None:
    """Open a bundle, run it at a small and a larger batch, and say what the process grew by, in MB."""
    import onnxruntime

    onnxruntime.get_available_providers()  # what the library takes without any model is not the file's
    process = psutil.Process()
    before = process.memory_info().rss
    model = open_model(open_artifact(bundle, "bundle"), "onnx", threads=1)
    generator = np.random.default_rng(0)
    for batch in _BATCHES:
        sizes = model.signature.sizes(batch)
        model.run({spec.name: spec.random(generator, **sizes) for spec in model.signature.inputs})
    print(json.dumps({"memory_mb": (process.memory_info().rss - before) / 1e6}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
