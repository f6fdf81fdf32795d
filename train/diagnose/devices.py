"""Tensors that are not on one device."""

from __future__ import annotations

from torch import Tensor

from lifecycle.train.diagnose.finding import Finding, times
from lifecycle.train.diagnose.scene import Scene


def explain_device(scene: Scene) -> Finding | None:
    """Tensors that are not on one device."""
    tensors = [item for item in (*scene.arguments, *scene.keywords.values()) if isinstance(item, Tensor)]
    devices = list(dict.fromkeys(str(tensor.device) for tensor in tensors))
    if scene.failed is None or len(devices) < 2 or "device" not in str(scene.error):
        return None
    parameters = {id(parameter): name for name, parameter in scene.root.named_parameters()}
    shown = [
        f"{times(tensor.shape)} on {tensor.device}"
        + (f" ({parameters[id(tensor)]})" if id(tensor) in parameters else "")
        for tensor in tensors
    ]
    return Finding(
        title=f"{scene.failed.name} in {scene.place} got tensors on {' and '.join(devices)}.",
        got=", ".join(shown),
        expects="all on the device of the module",
        write="device=x.device where a tensor is made in a step, and self.register_buffer(name, tensor) for "
        "one that is made in __init__",
    )
