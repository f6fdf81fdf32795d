"""Recurrent layers and embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor, nn

from lifecycle.train.diagnose.finding import Finding, described, times, type_name
from lifecycle.train.diagnose.scene import Layer, Scene
from lifecycle.train.diagnose.source import written

_NO_TENSOR = (
    "must be Tensor, not",
    "invalid combination of arguments - got (tuple",
    "invalid combination of arguments - got (list",
    "'tuple' object has no attribute",
    "'list' object has no attribute",
)
_WHOLE = (torch.int64, torch.int32)


def explain_recurrent(scene: Scene) -> Finding | None:
    """An LSTM, GRU or RNN with other features, axes, or a first state of another shape."""
    layer, given = scene.layer, scene.layer.given
    if not isinstance(layer.module, nn.RNNBase) or given is None:
        return None
    module, shape, sized = layer.module, tuple(given.shape), written(layer, scene.root)
    order = "samples×steps" if module.batch_first else "steps×samples"
    if given.ndim not in (2, 3):
        flat = (*shape[:2], prod(shape[2:]))
        return Finding(
            title=f"{layer} wants 3 axes, and gets {given.ndim}.",
            got=times(shape),
            expects=f"{order}×{module.input_size}, by {sized}",
            write=f"x = x.flatten(2) before it, which gives {times(flat)}" if given.ndim > 3 else "",
        )
    if shape[-1] != module.input_size:
        made_for = sized.argument("input_size", module.input_size)
        return Finding(
            title=f"{layer} is made for {made_for} features, and gets {shape[-1]}.",
            got=times(shape),
            expects=f"{times((*shape[:-1], module.input_size))}, by {sized}",
            write=sized.with_(input_size=str(shape[-1])),
        )
    return _state(scene, layer, shape)


def explain_attention(scene: Scene) -> Finding | None:
    """Attention over other features than it is made for."""
    layer, given = scene.layer, scene.layer.given
    if not isinstance(layer.module, nn.MultiheadAttention) or given is None or not given.ndim:
        return None
    if given.shape[-1] == layer.module.embed_dim:
        return None
    around = scene.root.get_submodule(layer.name.rpartition(".")[0])
    transformer = type(around).__module__ == "torch.nn.modules.transformer"
    whose = f"d_model={given.shape[-1]} where {type(around).__name__}" if transformer else None
    return Finding(
        title=f"{layer} is made for {layer.module.embed_dim} features, and gets {given.shape[-1]}.",
        got=times(given.shape),
        expects=times((*given.shape[:-1], layer.module.embed_dim)),
        write=f"{whose or f'embed_dim={given.shape[-1]} where it'} is made",
    )


def explain_embedding(scene: Scene) -> Finding | None:
    """An embedding of an index that it does not have, or of something that is no index."""
    layer, given = scene.layer, scene.layer.given
    if not isinstance(layer.module, nn.Embedding | nn.EmbeddingBag) or given is None:
        return None
    count, sized = layer.module.num_embeddings, written(layer, scene.root)
    if given.dtype not in _WHOLE:
        return Finding(
            title=f"{layer} got {type_name(given.dtype)} in place of indices.",
            got=f"{times(given.shape)} of {type_name(given.dtype)}",
            expects=f"int64, from 0 to {count - 1}, by {sized}",
            write="x = x.long() before it"
            + ("" if not given.is_floating_point() else "; make sure that these are indices"),
        )
    outside = ((given < 0) | (given >= count)).nonzero()
    if not len(outside):
        return None
    first = tuple(outside[0].tolist())
    value, most = int(given[first]), int(given.max())
    more = f", and {len(outside) - 1} more" if len(outside) > 1 else ""
    write = sized.with_(num_embeddings=str(most + 1)) + ", if all these indices are meant"
    if int(given.min()) < 0:
        write = "indices from 0 on; give padding an index of its own, and padding_idx= that"
    return Finding(
        title=f"{layer} has no index {value}.",
        got=f"{value} at {list(first)} of {times(given.shape)}{more}",
        expects=f"0 to {count - 1}, by {sized}",
        write=write,
    )


def explain_tuple(scene: Scene) -> Finding | None:
    """Something that holds tensors in place of a tensor: what an LSTM returned, or a whole batch."""
    if not any(phrase in str(scene.error) for phrase in _NO_TENSOR):
        return None
    for layer in scene.layers:
        item = layer.arguments[0] if layer.arguments else None
        if not isinstance(item, tuple | list | Mapping) or not _holds(item):
            continue
        maker = next((maker for maker, output in scene.returned if output is item), None)
        if maker is not None and isinstance(maker.module, nn.RNNBase):
            return Finding(
                title=f"{layer} got the outputs and the state of {maker}.",
                got=f"a tuple {described(item)}",
                expects="a tensor",
                write=f"x, state = self.{_attribute(maker)}(x), and pass on x"
                + (f"; a Sequential cannot do that, so keep {maker} out of it" if "." in maker.name else ""),
            )
        if layer is scene.layers[0] and maker is None:
            return Finding(
                title=f"{layer} got a whole batch in place of its inputs.",
                got=f"a {type(item).__name__} {described(item)}",
                expects="a tensor",
                write=f"{_taken_out(item)}, and pass on x",
            )
    return None


def _taken_out(batch: object) -> str:
    if isinstance(batch, Mapping):
        return f"x = batch[{next(key for key, value in batch.items() if _holds(value))!r}]"
    return "x, y = batch"


def _attribute(layer: Layer) -> str:
    """Its own name, or one that it might have outside of a `Sequential`."""
    return layer.name if layer.name.isidentifier() else type(layer.module).__name__.lower()


def _holds(item: object) -> bool:
    if isinstance(item, Mapping):
        return _holds(list(item.values()))
    return isinstance(item, Tensor) or (isinstance(item, tuple | list) and any(_holds(part) for part in item))


def _state(scene: Scene, layer: Layer, shape: tuple[int, ...]) -> Finding | None:
    """A first state of another shape: most often samples and steps are taken for each other."""
    module = layer.module
    assert isinstance(module, nn.RNNBase)
    text = str(scene.error)
    state = layer.arguments[1] if len(layer.arguments) > 1 else None
    if not text.startswith("Expected hidden") or state is None or len(shape) != 3:
        return None
    samples = shape[0] if module.batch_first else shape[1]
    wanted = (module.num_layers * (2 if module.bidirectional else 1), samples, module.hidden_size)
    other = shape[1] if module.batch_first else shape[0]
    first = state[0] if isinstance(state, tuple) else state
    swapped = isinstance(first, Tensor) and first.shape[1] == other != samples
    write = f"torch.zeros({', '.join(map(str, wanted))}) as each part of the state, or none at all"
    if swapped and not module.batch_first:
        write = (
            written(layer, scene.root).with_(batch_first="True") + ", if the first axis is that of samples"
        )
    return Finding(
        title=f"{layer} got a first state for another number of samples or layers.",
        got=f"a state of {described(state)} with an input of {times(shape)}",
        expects=f"{times(wanted)} for {samples} samples, by {written(layer, scene.root)}",
        write=write,
    )
