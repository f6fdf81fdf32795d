"""Operations on bare tensors and parameters, and all that nobody else explains."""

from __future__ import annotations

from torch import Tensor, nn

from lifecycle.train.diagnose.finding import Finding, times
from lifecycle.train.diagnose.linear import explain_folding
from lifecycle.train.diagnose.scene import Scene

_PRODUCTS = ("matmul", "__matmul__", "__rmatmul__", "mm")
_QUIET = ("backward",)


def explain_folded_batch(scene: Scene) -> Finding | None:
    """An operation on tensors with different numbers of samples, since a reshape changed one of them."""
    items = [*scene.arguments, *scene.keywords.values()]
    tensors = [item for item in items if isinstance(item, Tensor) and not isinstance(item, nn.Parameter)]
    if scene.failed is None or len(tensors) < 2 or not tensors[0].ndim or not tensors[1].ndim:
        return None
    first, second = tensors[0].shape[0], tensors[1].shape[0]
    if first == second:
        return None
    return explain_folding(scene, second, first) or explain_folding(scene, first, second)


def explain_product(scene: Scene) -> Finding | None:
    """A product of matrices that do not fit."""
    failed = scene.failed
    first, second = scene.argument(0, "input"), scene.argument(1, "other")
    if failed is None or failed.name not in (*_PRODUCTS, "linear"):
        return None
    if not isinstance(first, Tensor) or not isinstance(second, Tensor) or first.ndim < 1 or second.ndim < 2:
        return None
    if failed.name == "__rmatmul__":
        first, second = second, first
    turned = failed.name == "linear"  # which takes its weight as outputs×inputs
    have, want = first.shape[-1], second.shape[-1 if turned else -2]
    other = second.shape[-2 if turned else -1]
    if have == want:
        return None
    name = _name(scene, second) or "the second factor"
    write = f"{name} as {other}×{have}" if turned else f"{name} as {have}×{other}"
    if other == have:
        write = f"{name} transposed, as .mT gives it"
    return Finding(
        title=f"A product in {scene.place} has factors that do not fit.",
        got=f"{_shown(scene, first)} times {_shown(scene, second)}",
        expects=f"as many on the last axis of the first factor, {have}, as on the "
        f"{'last' if turned else 'first'} of the second, {want}",
        write=write,
    )


def explain_anything(scene: Scene) -> Finding | None:
    """Which operation failed, in which layer, with tensors of which shapes; the rest is torch's to say."""
    failed = scene.failed
    items = [*scene.arguments, *scene.keywords.values()]
    tensors = [part for item in items for part in (item if isinstance(item, list | tuple) else [item])]
    shown = [_shown(scene, part) for part in tensors if isinstance(part, Tensor)]
    if failed is None or not shown or failed.name in _QUIET:
        return None
    return Finding(
        title=f"{failed.name} failed in {scene.place}.",
        got=", ".join(shown[:4]),
        says=str(scene.error).partition("\n")[0],
        write=_sizes(scene, tensors),
    )


def _sizes(scene: Scene, tensors: list[object]) -> str:
    """For operands of which one is a parameter: its shape is what should be changed."""
    parameters = [part for part in tensors if isinstance(part, nn.Parameter)]
    others = [part for part in tensors if isinstance(part, Tensor) and not isinstance(part, nn.Parameter)]
    if len(parameters) != 1 or len(others) != 1 or "must match the size" not in str(scene.error):
        return ""
    name = _name(scene, parameters[0]) or "the parameter"
    wanted = tuple(others[0].shape)[-parameters[0].ndim :] if parameters[0].ndim else ()
    return f"{name} with a shape that broadcasts with {times(others[0].shape)}, such as {times(wanted)}"


def _name(scene: Scene, tensor: Tensor) -> str:
    named = [*scene.root.named_parameters(), *scene.root.named_buffers()]
    return next((name for name, item in named if item is tensor), "")


def _shown(scene: Scene, tensor: Tensor) -> str:
    name = _name(scene, tensor)
    return f"{times(tensor.shape)} ({name})" if name else times(tensor.shape)
