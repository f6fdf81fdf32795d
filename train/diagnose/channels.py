"""Layers that are made for another number of channels than they get."""

from __future__ import annotations

from lifecycle.train.diagnose.finding import Finding, times
from lifecycle.train.diagnose.scene import Layer, Scene
from lifecycle.train.diagnose.source import written


def other_channels(scene: Scene, layer: Layer, shape: tuple[int, ...], name: str, wanted: int) -> Finding:
    """A layer gets other channels than its argument of this name says."""
    sized = written(layer, scene.root)
    groups = getattr(layer.module, "groups", getattr(layer.module, "num_groups", 1))
    write = sized.with_(**{name: str(shape[1])})
    return Finding(
        title=f"{layer} is made for {sized.argument(name, wanted)} channels, and gets {shape[1]}.",
        got=times(shape),
        expects=f"{times((shape[0], wanted, *shape[2:]))}, by {sized}",
        write=write if shape[1] % groups == 0 else f"{write}, with groups that divide {shape[1]}",
    )
