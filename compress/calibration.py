"""What a prepared module learns from data without gradients, and what it stops learning near the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from lifecycle.compress.capture import NORM_MODE, Mode
from lifecycle.compress.quantizer import METHOD, quantized_graph
from lifecycle.compress.ranges import PERCENTILE, Calibration, range_finder
from lifecycle.core.errors import UsageError
from lifecycle.train.modes import mode_of

Observe = Callable[..., object]


def calibrate_(
    module: nn.Module,
    batches: Iterable[tuple[Tensor, ...]],
    *,
    calibration: Calibration = "squared_error",
    percentile: float = PERCENTILE,
) -> None:
    """Find every activation's range from data, then round: static for good, qat as a start.

    Runs in evaluation mode without gradients. Memory does not grow with the number of batches: each
    activation keeps a histogram, from which its range is taken.

    Args:
        module: Prepared by `lifecycle.compress.quantizer.prepare_quantization_`.
        batches: Inputs of forward, as tuples; a hundred samples or more, drawn like real data. They may come
            from a generator, one at a time.
        calibration: How a range follows from a histogram, a name of `lifecycle.compress.ranges`.
        percentile: For the method of that name.

    Raises:
        UsageError: there is no batch, one does not fit forward, or values are not finite; ranges are then
            what they were. The method is unknown.
    """
    with calibrating(module, calibration=calibration, percentile=percentile) as observe:
        for batch in batches:
            observe(*batch)


@contextmanager
def calibrating(
    module: nn.Module, *, calibration: Calibration = "squared_error", percentile: float = PERCENTILE
) -> Iterator[Observe]:
    """As `calibrate_`, where batches come from elsewhere: gives what to call for each, in forward's place.

    Args:
        module: Prepared for quantization; changed in place.
        calibration: How a range is found in a histogram.
        percentile: The share of values within the range, in percent, for ``percentile``.

    Raises:
        UsageError: as `calibrate_`.
    """
    graph = quantized_graph(module)
    range_of = range_finder(calibration, percentile=percentile)
    from lifecycle.compress import pt2e

    observe = _Observer(graph)
    with _undone_on_error(graph), mode_of(module, training=False), torch.no_grad():
        pt2e.set_flags(graph, observe=True, rounding=False)
        yield observe
        if not observe.count:
            raise UsageError("there is no calibration batch; a hundred samples are a good number")
        pt2e.settle(graph, range_of)
        pt2e.set_flags(graph, observe=graph.meta[METHOD] == "qat", rounding=True)


def freeze_observers_(module: nn.Module) -> None:
    """Keep every range and scale as it is from now on: for the last part of quantization-aware training."""
    graph = quantized_graph(module)
    from lifecycle.compress import pt2e

    for _, quantizer in pt2e.fake_quantizers(graph):
        quantizer.disable_observer()


def freeze_batch_norm_(module: nn.Module) -> None:
    """Normalise by running statistics from now on, in training too, and leave them as they are."""
    mode = quantized_graph(module).get_submodule(NORM_MODE)
    assert isinstance(mode, Mode)
    mode.freeze()


class _Observer:
    """Runs the graph on a batch, and says which one it was that does not fit."""

    def __init__(self, graph: GraphModule) -> None:
        self.graph = graph
        self.count = 0

    def __call__(self, *batch: Tensor) -> object:
        self.count += 1
        try:
            return self.graph(*batch)
        except (ValueError, RuntimeError, TypeError) as error:
            shapes = ", ".join(f"{tensor.dtype} {list(tensor.shape)}" for tensor in batch)
            raise UsageError(
                f"calibration batch {self.count} ({shapes}) cannot be used: {error}",
                hint="Ranges are what they were. Give batches as forward takes them, of finite values.",
            ) from error


@contextmanager
def _undone_on_error(graph: GraphModule) -> Iterator[None]:
    from lifecycle.compress import pt2e

    quantizers = [quantizer for _, quantizer in pt2e.fake_quantizers(graph)]
    before = [{name: t.clone() for name, t in quantizer.state_dict().items()} for quantizer in quantizers]
    try:
        yield
    except BaseException:
        for quantizer, state in zip(quantizers, before, strict=True):
            quantizer.load_state_dict(state)
        pt2e.forget(graph)
        raise
