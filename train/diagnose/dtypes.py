"""Tensors of a type that a layer's weights are not."""

from __future__ import annotations

import torch
from torch import nn

from lifecycle.train.diagnose.finding import Finding, times, type_name
from lifecycle.train.diagnose.scene import Scene

_ABOUT_TYPES = ("dtype", "should be the same", "scalar type", "can't be cast")


def explain_type(scene: Scene) -> Finding | None:
    """Integers or doubles that meet weights in single precision."""
    layer, given = scene.layer, scene.layer.given
    weights = next((p.dtype for p in layer.module.parameters(recurse=False)), None)
    if given is None or weights is None or not weights.is_floating_point or given.dtype == weights:
        return None
    if not any(phrase in str(scene.error) for phrase in _ABOUT_TYPES) or given.is_complex():
        return None
    if isinstance(layer.module, nn.Embedding | nn.EmbeddingBag):
        return None
    convert = {torch.float32: "x.float()", torch.float64: "x.double()", torch.float16: "x.half()"}.get(
        weights, f"x.to({weights})"
    )
    write = f"x = {convert} before it"
    if given.dtype == torch.uint8:
        write = f"x = {convert} / 255 before it, for images whose pixels are from 0 to 255"
    elif given.dtype == torch.float64:
        write += "; arrays of NumPy are float64 unless they are made with dtype=np.float32"
    return Finding(
        title=f"{layer} got {type_name(given.dtype)}, and its weights are {type_name(weights)}.",
        got=f"{times(given.shape)} of {type_name(given.dtype)}",
        expects=type_name(weights),
        write=write,
    )
