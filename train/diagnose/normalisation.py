"""Normalisations of other channels, axes or numbers than they are made for."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lifecycle.train.diagnose.channels import other_channels
from lifecycle.train.diagnose.finding import Finding, times
from lifecycle.train.diagnose.scene import Layer, Scene
from lifecycle.train.diagnose.source import written


def explain_normalisation(scene: Scene) -> Finding | None:
    """A normalisation of other channels, other axes, or too few numbers."""
    layer, given = scene.layer, scene.layer.given
    if given is None or not scene.failed_in("batch_norm", "layer_norm", "group_norm"):
        return None
    if isinstance(layer.module, _BatchNorm):
        return _batch_norm(scene, layer, given)
    shape, sized = tuple(given.shape), written(layer, scene.root)
    if isinstance(layer.module, nn.LayerNorm):
        wanted = tuple(layer.module.normalized_shape)
        if shape[-len(wanted) :] == wanted:
            return None
        arrives = shape[-len(wanted) :]
        new = str(arrives[0]) if len(wanted) == 1 else str(arrives)
        return Finding(
            title=f"{layer} is made for {times(wanted)}, and gets {times(arrives)}.",
            got=times(shape),
            expects=f"{times(wanted)} on the last {'axis' if len(wanted) == 1 else 'axes'}, by {sized}",
            write=sized.with_(normalized_shape=new),
        )
    if isinstance(layer.module, nn.GroupNorm) and given.ndim > 1 and shape[1] != layer.module.num_channels:
        return other_channels(scene, layer, shape, "num_channels", layer.module.num_channels)
    return None


def _batch_norm(scene: Scene, layer: Layer, given: Tensor) -> Finding | None:
    assert isinstance(layer.module, _BatchNorm)
    wanted, shape, text = layer.module.num_features, tuple(given.shape), str(scene.error)
    if text.startswith("expected ") and "D input" in text:
        right = {2: "1d", 3: "1d", 4: "2d", 5: "3d"}.get(given.ndim)
        sized = written(layer, scene.root)
        same = sized.with_() if shape[1] == wanted else sized.with_(num_features=str(shape[1]))
        fitting = same.replace(type(layer.module).__name__, f"BatchNorm{right}")
        return Finding(
            title=f"{layer} is for other axes than arrive.",
            got=f"{times(shape)}: {given.ndim} axes",
            expects=text.removeprefix("expected ").partition("D input")[0].replace("D or", " or") + " axes",
            write=fitting if right else "a reshape before it",
        )
    if "more than 1 value per channel" in text:
        return Finding(
            title=f"{layer} cannot normalise a batch of one sample in training.",
            got=times(shape),
            expects="two samples at least, as it divides by their deviation",
            write="DataLoader(dataset, batch_size=..., drop_last=True), or a greater batch_size",
        )
    if given.ndim > 1 and shape[1] != wanted:
        return other_channels(scene, layer, shape, "num_features", wanted)
    return None
