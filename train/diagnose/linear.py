"""A `Linear` whose size is not that of its input, and what flattened that."""

from __future__ import annotations

import ast
from math import prod

from torch import Tensor, nn

from lifecycle.train.diagnose.finding import Finding, factors, times
from lifecycle.train.diagnose.scene import Layer, Operation, Scene
from lifecycle.train.diagnose.source import expression_at, unparsed, written


def explain_linear(scene: Scene) -> Finding | None:
    """A `Linear` with other features than it is sized for."""
    layer, given = scene.layer, scene.layer.given
    if not isinstance(layer.module, nn.Linear) or given is None or not given.ndim:
        return None
    if given.shape[-1] == layer.module.in_features or not scene.failed_in("linear"):
        return None
    flattening = scene.flattening(given)
    if flattening is not None:
        return _flattened(scene, layer, given, flattening)
    if given.ndim > 2:
        return _not_flattened(scene, layer, given)
    return _plain(scene, layer, given)


def explain_view(scene: Scene) -> Finding | None:
    """A ``view`` or ``reshape`` to a size that the tensor does not have."""
    failed = scene.failed
    if failed is None or failed.name not in ("view", "reshape") or not failed.inputs:
        return None
    asked = _asked(scene)
    shape = failed.inputs[0]
    if "is invalid for input of size" not in str(scene.error) or len(asked) != 2 or len(shape) < 2:
        return None
    if asked[-1] < 1 or asked[0] not in (-1, shape[0]):
        return None
    layer = _sized(scene.root, asked[-1])
    call = expression_at(failed.line, failed.name)
    return Finding(
        title=f"{_code(call, failed, asked)} in {scene.place} does not fit {_features(shape[1:])}.",
        got=f"{times(shape)}: {prod(shape[1:])} features for each of {shape[0]} samples",
        expects=f"{asked[-1]} features" + (f", by {written(layer, scene.root)}" if layer else ""),
        write=_flatten_code(call) + (_and_resized(scene, layer, shape[1:]) if layer else ""),
    )


def explain_folding(scene: Scene, before: int, after: int) -> Finding | None:
    """A reshape that succeeded, by making more or fewer samples than there were."""
    folding = scene.folding(before, after)
    if folding is None or len(folding.inputs[0]) < 2:
        return None
    features = folding.output[-1]
    users = (
        operation.layer
        for operation in scene.after(folding)
        if operation.layer is not None and isinstance(operation.layer.module, nn.Linear)
    )
    user = next(users, None)
    sized = user is not None and user.module.in_features == features
    return _folded(scene, folding, user if sized else _sized(scene.root, features))


def _folded(scene: Scene, folding: Operation, layer: Layer | None) -> Finding:
    """What a reshape did to the samples, and the layer that it was to prepare them for."""
    shape, features = folding.inputs[0], folding.output[-1]
    call = expression_at(folding.line, folding.name)
    text = _code(call, folding, (-1, *folding.output[1:]))
    expects, write = f"{shape[0]} samples, as before", _flatten_code(call)
    if layer is not None:
        expects = f"{shape[0]}×{layer.module.in_features}, by {written(layer, scene.root)}"
        if layer.module.in_features != prod(shape[1:]):
            write += _and_resized(scene, layer, shape[1:])
    return Finding(
        title=f"{text} changed the batch size from {shape[0]} to {folding.output[0]}.",
        got=f"{times(shape)}: {_features(shape[1:])} has {prod(shape[1:])} features, not {features}",
        expects=expects,
        write=write,
    )


def _flattened(scene: Scene, layer: Layer, given: Tensor, flattening: Operation) -> Finding:
    assert isinstance(layer.module, nn.Linear)
    shape, wanted, sized = flattening.inputs[0], layer.module.in_features, written(layer, scene.root)
    expects = f"{times((*given.shape[:-1], wanted))}, by {sized}"
    if given.ndim == 1:
        return Finding(
            title=f"{layer} got a batch in which samples were flattened too.",
            got=f"{times(given.shape)}, flattened from {times(shape)}",
            expects=f"{times((shape[0], wanted))}, by {sized}",
            write="torch.flatten(x, 1), or nn.Flatten(), which leave the first axis"
            + ("" if prod(shape[1:]) == wanted else f"; and {sized.with_(in_features=factors(shape[1:]))}"),
        )
    if _is_single(scene, given):
        return Finding(
            title=f"{layer} got a sample without a batch axis.",
            got=f"{times(given.shape)}, flattened from {times(shape)}",
            expects=f"a first axis for samples, then {wanted} features, by {sized}",
            write="x = x.unsqueeze(0) before the first layer, or DataLoader(dataset, batch_size=...)",
        )
    if flattening.output[0] != shape[0]:
        return _folded(scene, flattening, layer)
    return Finding(
        title=f"{layer} is sized {sized.argument('in_features', wanted)} behind {_features(shape[1:])}.",
        got=f"{times(given.shape)}, flattened from {times(shape)}",
        expects=expects,
        write=sized.with_(in_features=factors(shape[1:])),
    )


def _not_flattened(scene: Scene, layer: Layer, given: Tensor) -> Finding:
    assert isinstance(layer.module, nn.Linear)
    shape, wanted, sized = tuple(given.shape), layer.module.in_features, written(layer, scene.root)
    expects = f"{wanted} on the last axis, by {sized}"
    if given.ndim == 3 and shape[1] == wanted:
        return Finding(
            title=f"{layer} wants its features on the last axis.",
            got=times(shape),
            expects=expects,
            write=f"x = x.transpose(1, 2) before it, which gives {times((shape[0], shape[2], shape[1]))}",
        )
    if given.ndim == 3 and prod(shape[1:]) != wanted:
        return _plain(scene, layer, given)
    flatten = "x = torch.flatten(x, 1) before it (in a Sequential: nn.Flatten())"
    if prod(shape[1:]) != wanted:
        flatten += f", and {sized.with_(in_features=factors(shape[1:]))}"
    return Finding(
        title=f"{layer} got {_features(shape[1:])} that was not flattened.",
        got=times(shape),
        expects=expects,
        write=flatten,
    )


def _plain(scene: Scene, layer: Layer, given: Tensor) -> Finding:
    assert isinstance(layer.module, nn.Linear)
    shape, wanted, sized = tuple(given.shape), layer.module.in_features, written(layer, scene.root)
    return Finding(
        title=f"{layer} is made for {sized.argument('in_features', wanted)} features, and gets {shape[-1]}.",
        got=times(shape),
        expects=f"{times((*shape[:-1], wanted))}, by {sized}",
        write=sized.with_(in_features=str(shape[-1])),
    )


def _is_single(scene: Scene, given: Tensor) -> bool:
    """Whether a convolution took what it got for a sample without a batch axis."""
    axes = {"conv1d": 2, "conv2d": 3, "conv3d": 4}
    return any(len(op.inputs[0]) == axes[op.name] for op in scene.history(given) if op.name in axes)


def _features(shape: tuple[int, ...]) -> str:
    return f"a feature map of {times(shape)}"


def _asked(scene: Scene) -> tuple[int, ...]:
    """The shape that a ``view`` was to give."""
    sizes = [item for item in scene.arguments[1:] if isinstance(item, int | tuple | list)]
    flat = [size for item in sizes for size in (item if isinstance(item, tuple | list) else [item])]
    return tuple(size for size in flat if isinstance(size, int))


def _code(call: ast.Call | None, operation: Operation, asked: tuple[int, ...]) -> str:
    return unparsed(call) if call else f"x.{operation.name}({', '.join(map(str, asked))})"


def _flatten_code(call: ast.Call | None) -> str:
    whose = unparsed(call.func.value) if call and isinstance(call.func, ast.Attribute) else "x"
    if call is not None and whose == "torch":
        whose = unparsed(call.args[0])
    return f"torch.flatten({whose}, 1) in its place"


def _and_resized(scene: Scene, layer: Layer, shape: tuple[int, ...]) -> str:
    return f", and {written(layer, scene.root).with_(in_features=factors(shape))}"


def _sized(root: nn.Module, features: int) -> Layer | None:
    """The one `Linear` that takes so many features."""
    found = [
        Layer(name, part)
        for name, part in root.named_modules()
        if isinstance(part, nn.Linear) and part.in_features == features
    ]
    return found[0] if len(found) == 1 else None
