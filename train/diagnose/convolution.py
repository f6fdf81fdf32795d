"""Convolutions and pools that get other channels, axes or sizes than they are made for."""

from __future__ import annotations

from math import isqrt

from torch.nn.modules.conv import _ConvNd

from lifecycle.train.diagnose.channels import other_channels
from lifecycle.train.diagnose.finding import Finding, times
from lifecycle.train.diagnose.scene import Layer, Scene
from lifecycle.train.diagnose.source import written


def explain_convolution(scene: Scene) -> Finding | None:
    """A convolution with other channels, or with images that lack an axis or have them in another order."""
    layer, given = scene.layer, scene.layer.given
    if not isinstance(layer.module, _ConvNd) or given is None:
        return None
    axes = len(layer.module.kernel_size)
    if not scene.failed_in(f"conv{axes}d", f"conv_transpose{axes}d", "pad"):
        return None
    wanted, shape = layer.module.in_channels, tuple(given.shape)
    if given.ndim == axes + 2:
        if shape[1] != wanted:
            return _channels(scene, layer, shape, axes)
        return _too_small(scene, layer, shape)
    if given.ndim == axes + 1:
        return _one_axis_less(scene, layer, shape, axes)
    return _axes(scene, layer, shape, axes)


def explain_pool(scene: Scene) -> Finding | None:
    """A pool of a feature map that is smaller than its window."""
    given = scene.layer.given
    if "Output size is too small" not in str(scene.error) or given is None:
        return None
    return Finding(
        title=f"{scene.layer} has nothing left to pool.",
        got=times(given.shape),
        expects="a feature map that is at least as large as the window",
        write="fewer pools or strides before it; or use larger images",
    )


def _channels(scene: Scene, layer: Layer, shape: tuple[int, ...], axes: int) -> Finding:
    assert isinstance(layer.module, _ConvNd)
    wanted = layer.module.in_channels
    if shape[-1] == wanted < shape[1]:
        order = ", ".join(map(str, (0, axes + 1, *range(1, axes + 1))))
        moved = (shape[0], shape[-1], *shape[1:-1])
        return Finding(
            title=f"{layer} wants channels on the second axis, and they arrive on the last.",
            got=times(shape),
            expects=f"{times(moved)}, by {written(layer, scene.root)}",
            write=f"x = x.permute({order}) before it",
        )
    return other_channels(scene, layer, shape, "in_channels", wanted)


def _one_axis_less(scene: Scene, layer: Layer, shape: tuple[int, ...], axes: int) -> Finding | None:
    """What torch takes for a single sample without a batch axis."""
    assert isinstance(layer.module, _ConvNd)
    wanted = layer.module.in_channels
    sized = written(layer, scene.root)
    if shape[0] == wanted:
        return None
    if shape[-1] == wanted and wanted > 1:
        order = ", ".join(map(str, (axes, *range(axes))))
        return Finding(
            title=f"{layer} got one image with its channels on the last axis.",
            got=times(shape),
            expects=f"{times((1, wanted, *shape[:-1]))}, by {sized}",
            write=f"x = x.permute({order}).unsqueeze(0) before it",
        )
    write = "x = x.unsqueeze(1) before it"
    if wanted != 1:
        write += f", and {sized.with_(in_channels='1')}"
    return Finding(
        title=f"{layer} got samples without a channel axis.",
        got=times(shape),
        expects=f"{times((shape[0], wanted, *shape[1:]))}, by {sized}",
        write=write,
    )


def _axes(scene: Scene, layer: Layer, shape: tuple[int, ...], axes: int) -> Finding:
    assert isinstance(layer.module, _ConvNd)
    wanted = layer.module.in_channels
    pixels = shape[-1] // wanted if len(shape) == 2 else 0
    side = isqrt(pixels)
    write = f"a tensor of {axes + 2} axes: samples, channels, then {axes} of space"
    if axes == 2 and pixels and side * side * wanted == shape[-1]:
        write = f"x = x.view(-1, {wanted}, {side}, {side}) before it"
    return Finding(
        title=f"{layer} got {len(shape)} axes, and wants {axes + 2}.",
        got=times(shape),
        expects=f"{times(('samples', wanted, *['size'] * axes))}, by {written(layer, scene.root)}",  # type: ignore[arg-type]
        write=write,
    )


def _too_small(scene: Scene, layer: Layer, shape: tuple[int, ...]) -> Finding | None:
    if "greater than actual input size" not in str(scene.error):
        return None
    assert isinstance(layer.module, _ConvNd)
    kernel = layer.module.kernel_size
    return Finding(
        title=f"{layer} has a kernel of {times(kernel)}, and a feature map of {times(shape[2:])} arrives.",
        got=times(shape),
        expects=f"at least {times(kernel)} on the last axes, by {written(layer, scene.root)}",
        write="fewer pools or strides before it, a smaller kernel, or padding; or use larger images",
    )
