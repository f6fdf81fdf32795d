"""Tables of extensions: the built-in ones as source, then entry points, loaded when asked for.

A family's table maps a name to ``"module:attribute"``. Other distributions add to it with entry
points of the group ``lifecycle.<family>``. Where a lower package must reach up, it comes here.
"""

from __future__ import annotations

from functools import cache, reduce
from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

from lifecycle.core.errors import UsageError, suggest

TABLES: dict[str, dict[str, str]] = {
    "stages": {
        "train": "lifecycle.stages.train:Train",
        "prune": "lifecycle.stages.prune:Prune",
        "quantize": "lifecycle.stages.quantize:Quantize",
        "export": "lifecycle.stages.export:Export",
        "evaluate": "lifecycle.stages.evaluate:Evaluate",
        "register": "lifecycle.stages.register:Register",
    },
    "formats": {
        "onnx": "lifecycle.export.to_onnx:ONNX",
        "torchscript": "lifecycle.export.to_torchscript:TORCHSCRIPT",
        "pt2": "lifecycle.export.to_pt2:PT2",
    },
    "gates": {
        "evaluated_file": "lifecycle.gates.proof:EvaluatedFile",
        "provenance": "lifecycle.gates.proof:Provenance",
        "onnx": "lifecycle.gates.proof:OnnxOnly",
        "parity": "lifecycle.gates.proof:Parity",
        "signature": "lifecycle.gates.serving:Compatible",
        "outputs": "lifecycle.gates.serving:FiniteOutputs",
        "thresholds": "lifecycle.gates.thresholds:Thresholds",
        "speed": "lifecycle.gates.costs:Speed",
        "size": "lifecycle.gates.costs:Size",
        "memory": "lifecycle.gates.costs:Memory",
    },
    "edits": {
        "prune_channels": "lifecycle.compress.channels:replay_channels",
        "quantize": "lifecycle.compress.quantizer:replay_quantize",
        "quantize_file": "lifecycle.compress.file_edit:replay_file_edit",
    },
    "strategies": {
        "single_device": "lifecycle.train.strategies.single:SingleDeviceStrategy",
        "ddp": "lifecycle.train.strategies.ddp:DDPStrategy",
        "fsdp": "lifecycle.train.strategies.fsdp:FSDPStrategy",
    },
    "accelerators": {
        "cuda": "lifecycle.train.accelerators:CUDAAccelerator",
        "mps": "lifecycle.train.accelerators:MPSAccelerator",
        "xla": "lifecycle.train.xla:XLAAccelerator",
        "cpu": "lifecycle.train.accelerators:CPUAccelerator",
    },
    "precisions": {
        "32-true": "lifecycle.train.precision:Precision",
        "64-true": "lifecycle.train.precision:DoublePrecision",
        "16-true": "lifecycle.train.precision:HalfPrecision",
        "bf16-true": "lifecycle.train.precision:HalfPrecision",
        "16-mixed": "lifecycle.train.precision:MixedPrecision",
        "bf16-mixed": "lifecycle.train.precision:MixedPrecision",
    },
}


@cache
def table(family: str) -> dict[str, str]:
    """Every extension of a family by name: built in, then installed ones, which cannot replace them."""
    found = {point.name: point.value for point in entry_points(group=f"lifecycle.{family}")}
    return found | TABLES[family]


def load(family: str, name: str) -> object:
    """Import one extension.

    Raises:
        UsageError: the family has none of that name; the closest one is suggested. Or what another
            distribution calls so cannot be imported.
    """
    known = table(family)
    kind = "strategy" if family == "strategies" else family[:-1]
    if name not in known:
        raise UsageError(f"no {kind} is called '{name}': {suggest(name, known)}")
    module, _, attribute = known[name].partition(":")
    try:
        return reduce(getattr, attribute.split("."), cast("object", import_module(module)))
    except (ImportError, AttributeError) as error:
        if name in TABLES[family]:
            raise
        raise UsageError(
            f"{kind} '{name}' ({known[name]}) cannot be loaded: {error}",
            hint="The distribution that brings it does not fit the others: mend it or uninstall it.",
        ) from error
