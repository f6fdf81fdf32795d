"""Loss functions whose targets are not what they take."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from lifecycle.train.diagnose.finding import Finding, times, type_name
from lifecycle.train.diagnose.scene import Layer, Scene
from lifecycle.train.diagnose.source import written

_BY_CLASS = ("cross_entropy", "nll_loss")
_BINARY = ("binary_cross_entropy", "binary_cross_entropy_with_logits")
_LIKE = (*_BINARY, "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")


def explain_loss(scene: Scene) -> Finding | None:
    """The failed operation is a loss, called with predictions and targets."""
    name = scene.failed.name if scene.failed else ""
    logits, targets = scene.argument(0, "input"), scene.argument(1, "target")
    if name not in (*_BY_CLASS, *_LIKE) or not isinstance(logits, Tensor) or not isinstance(targets, Tensor):
        return None
    if logits.ndim and targets.ndim and logits.shape[0] != targets.shape[0]:
        return _batches(name, logits, targets)
    if name in _BY_CLASS:
        return _by_class(scene, name, logits, targets)
    return _alike(scene, name, logits, targets)


def _batches(name: str, logits: Tensor, targets: Tensor) -> Finding:
    return Finding(
        title=f"{name} got {logits.shape[0]} predictions for {targets.shape[0]} targets.",
        got=f"predictions of {times(logits.shape)}, targets of {times(targets.shape)}",
        expects="the same first axis, that of samples",
        write="predictions and targets of the same samples: look for what changes the first axis in forward",
    )


def _by_class(scene: Scene, name: str, logits: Tensor, targets: Tensor) -> Finding | None:
    samples = logits.shape[0] if logits.ndim > 1 else 1
    got = f"logits of {times(logits.shape)}, targets of {times(targets.shape)} in {type_name(targets.dtype)}"
    expects = f"the index of a class for each of {samples} samples: {samples} of int64"
    title, write = "", ""
    if logits.ndim == 2 and targets.ndim == 2 and targets.shape[1] == 1:
        title = f"{name} got targets with an axis too many."
        write = "y = y.squeeze(1).long()" if targets.is_floating_point() else "y = y.squeeze(1)"
    elif logits.shape == targets.shape and not targets.is_floating_point():
        title = f"{name} got one-hot targets in whole numbers."
        expects += ", or a probability for each class in float32"
        write = "y = y.argmax(dim=1), or y = y.float()"
    elif logits.ndim > 2 and targets.shape == logits.shape[:-1]:
        title = f"{name} wants classes on the second axis, and they are on the last."
        expects = f"logits of {times((samples, logits.shape[-1], *logits.shape[1:-1]))}"
        write = f"{name}(logits.movedim(-1, 1), y)"
    elif targets.ndim == logits.ndim - 1 and targets.dtype not in (torch.int64, torch.uint8):
        title = f"{name} got {type_name(targets.dtype)} in place of classes."
        write = "y = y.long()"
    if title:
        return Finding(title=title, got=got, expects=expects, write=write)
    return _range(scene, name, targets, classes=logits.shape[1] if logits.ndim > 1 else logits.shape[0])


def _range(scene: Scene, name: str, targets: Tensor, *, classes: int) -> Finding | None:
    ignored = scene.argument(4, "ignore_index")
    counted = targets if not isinstance(ignored, int) else targets[targets != ignored]
    outside = counted[(counted < 0) | (counted >= classes)]
    if not outside.numel():
        return None
    value, least, most = int(outside[0]), int(counted.min()), int(counted.max())
    place = (targets == value).nonzero()[0].tolist()
    last = _last_layer(scene)
    write = f"as many logits as classes: {most + 1}"
    if last is not None:
        write = written(last, scene.root).with_(out_features=str(most + 1))
    if least >= 1 and most == classes:
        write = f"y = y - 1 if classes are counted from 1; or {write}"
    if least < 0:
        write = f"targets from 0 on, or {name}(…, ignore_index={least}) if that stands for no class"
    if classes == 1:
        write = "binary_cross_entropy_with_logits(logits.squeeze(1), y.float()) for one logit, or two logits"
    return Finding(
        title=f"{name} got class {value} for {classes} logit{'s' * (classes > 1)}.",
        got=f"{value} at {place} of the targets, which go from {least} to {most}",
        expects=f"classes from 0 to {classes - 1}",
        write=write,
    )


def _last_layer(scene: Scene) -> Layer | None:
    """The `Linear` that made the logits."""
    logits = cast("Tensor", scene.argument(0, "input"))
    for operation in scene.history(logits):
        layer = operation.layer
        if layer is not None and isinstance(layer.module, nn.Linear):
            return layer if layer.module.out_features == logits.shape[-1] else None
        if operation.output != tuple(logits.shape):
            return None
    return None


def _alike(scene: Scene, name: str, predictions: Tensor, targets: Tensor) -> Finding | None:
    """Losses of targets that look like the predictions."""
    got = f"predictions of {times(predictions.shape)}, targets of {times(targets.shape)}"
    if predictions.shape != targets.shape:
        write = "predictions and targets of one shape"
        if predictions.ndim == targets.ndim + 1 and predictions.shape[-1] == 1:
            write = f"{name}(predictions.squeeze(-1), y)"
        elif targets.ndim == predictions.ndim + 1 and targets.shape[-1] == 1:
            write = f"{name}(predictions, y.squeeze(-1))"
        return Finding(
            title=f"{name} got predictions and targets of different shapes.",
            got=got,
            expects="the same shape",
            write=write,
        )
    if name in _BINARY and not targets.is_floating_point():
        return Finding(
            title=f"{name} got {type_name(targets.dtype)} targets.",
            got=f"{times(targets.shape)} of {type_name(targets.dtype)}",
            expects=type_name(predictions.dtype),
            write="y = y.float()",
        )
    if "between 0 and 1" in str(scene.error):
        return Finding(
            title=f"{name} got numbers that are no probabilities.",
            got=f"predictions from {float(predictions.min()):.3g} to {float(predictions.max()):.3g}",
            expects="0 to 1",
            write="binary_cross_entropy_with_logits, which takes what a Linear gives",
        )
    return None
