"""The one place that knows torchmetrics from the inside (ADR-0006).

The package is not imported unless the user's code did so.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, cast

from torch import Tensor, nn

if TYPE_CHECKING:
    from torchmetrics import Metric as _Metric

Metric: TypeAlias = "_Metric"


def is_metric(value: object) -> TypeGuard[Metric]:
    """Whether `value` is a torchmetrics object."""
    loaded = sys.modules.get("torchmetrics")
    return loaded is not None and isinstance(value, loaded.Metric)


def batch_value(metric: Metric) -> Tensor | None:
    """What the metric's last call gave for its batch; None when it was only updated."""
    value = metric._forward_cache
    return value.detach() if isinstance(value, Tensor) else None


@contextmanager
def perhaps_unfed() -> Iterator[None]:
    """Let metrics compute of which some saw no batch in this process: others did."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*was called before the ``update`` method")
        yield


def metrics_of(module: nn.Module) -> Iterator[tuple[str, Metric]]:
    """Every torchmetrics object among a module's parts, by name."""
    loaded = sys.modules.get("torchmetrics")
    if loaded is not None:
        for name, part in module.named_modules():
            if isinstance(part, loaded.Metric):
                yield name, part


def metric_states(module: nn.Module) -> dict[str, dict[str, object]]:
    """The half-summed state of every metric, as a copy; a module's own ``state_dict`` leaves it out."""
    return {
        name: {
            "state": {key: _copy(value) for key, value in metric.metric_state.items()},
            "count": metric._update_count,
            "last": batch_value(metric),
        }
        for name, metric in metrics_of(module)
    }


def any_counted(module: nn.Module) -> bool:
    """Whether a metric holds anything yet."""
    return any(metric._update_count for _, metric in metrics_of(module))


def restore_metrics(module: nn.Module, states: Mapping[str, Mapping[str, Any]]) -> None:
    """Take back what `metric_states` gave."""
    for name, metric in metrics_of(module):
        saved = states.get(name)
        if saved is None:
            continue
        for key, value in saved["state"].items():
            target = metric.metric_state[key]
            device = target.device if isinstance(target, Tensor) else metric.device
            setattr(metric, key, _on(_copy(value), device))
        metric._update_count = cast("int", saved["count"])
        metric._computed = None
        metric._forward_cache = saved["last"]


def _copy(value: Any) -> Any:
    # Metrics add to their tensors in place, and append to their lists; tensors in a list stay as they are.
    return list(value) if isinstance(value, list) else value.clone()


def _on(value: Any, device: Any) -> Any:
    return [item.to(device) for item in value] if isinstance(value, list) else value.to(device)
