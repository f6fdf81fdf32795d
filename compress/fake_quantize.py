"""Rounding to eight bits while the network still computes in float: what a prepared graph inserts.

Two small modules instead of torchao's: their whole state is in buffers of fixed shape, so that a saved
state loads strictly and gives the same outputs to the bit; activations are observed in training and
calibration only, so that validation data never moves a range; and a histogram is searched once, when
calibration ends, instead of at every batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lifecycle.compress.histogram import Histogram
from lifecycle.compress.quiet import FakeQuantizeBase
from lifecycle.compress.ranges import RangeOf

SMALLEST_SCALE = 1e-8
MOMENTUM = 0.01  # of a training batch in the running range, as torch.ao's moving average has it


class FakeQuantize(FakeQuantizeBase):  # type: ignore[misc]
    """What both kinds share: flags, scales and the attributes that torchao's converter reads.

    Attributes:
        scale: Step of the quantized values, ``[1]`` or ``[channels]``.
        zero_point: The quantized value of 0.0, of the same shape.
        observed: Whether anything was seen yet, uint8.
    """

    is_dynamic = False
    ch_axis = 0

    def __init__(
        self, channels: int, *, dtype: torch.dtype, qscheme: torch.qscheme, quant_min: int, quant_max: int
    ) -> None:
        super().__init__()
        self.dtype = dtype
        self.qscheme = qscheme
        self.quant_min = quant_min
        self.quant_max = quant_max
        self.register_buffer("scale", torch.ones(channels))
        self.register_buffer("zero_point", torch.zeros(channels, dtype=torch.int32))
        self.register_buffer("observed", torch.zeros(1, dtype=torch.uint8))

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Scale and zero point, for the converter: those that training and evaluation rounded with."""
        return self.scale, self.zero_point

    @property
    def calibrating(self) -> bool:
        """Observers on, rounding off."""
        return bool(self.observer_enabled) and not bool(self.fake_quant_enabled)


class ActivationFakeQuantize(FakeQuantize):
    """Affine, one scale: what ONNX Runtime multiplies fastest.

    Calibration gathers a histogram and takes a range from it; training then moves the range by an
    exponential average of each batch's extremes.

    Args:
        dtype: ``torch.uint8`` or ``torch.int8``.

    Attributes:
        low: Lower end of the range, ``[1]``.
        high: Upper end of the range, ``[1]``.
    """

    def __init__(self, *, dtype: torch.dtype = torch.uint8, **given: object) -> None:
        limits = torch.iinfo(dtype)
        super().__init__(
            1, dtype=dtype, qscheme=torch.per_tensor_affine, quant_min=limits.min, quant_max=limits.max
        )
        self.register_buffer("low", torch.zeros(1))
        self.register_buffer("high", torch.zeros(1))
        self.histogram: Histogram | None = None

    def forward(self, x: Tensor) -> Tensor:
        """`x` of any shape, rounded where rounding is on."""
        if self.calibrating:
            self.histogram = self.histogram or Histogram()
            self.histogram.add(x)
            return x
        if self.training and self.observer_enabled:
            self._follow(x.detach())
        if not self.fake_quant_enabled:
            return x
        return torch.fake_quantize_per_tensor_affine(
            x, self.scale, self.zero_point, self.quant_min, self.quant_max
        )

    def settle(self, range_of: RangeOf) -> None:
        """Take the range from the histogram and forget the histogram."""
        if self.histogram is not None:
            low, high = range_of(self.histogram)
            self._set(torch.tensor([low]), torch.tensor([high]))
        self.histogram = None

    def _follow(self, x: Tensor) -> None:
        low, high = (end.reshape(1).float() for end in torch.aminmax(x))
        if self.observed:
            low, high = self.low.lerp(low, MOMENTUM), self.high.lerp(high, MOMENTUM)
        self._set(low, high)

    def _set(self, low: Tensor, high: Tensor) -> None:
        self.low.copy_(low.clamp(max=0))
        self.high.copy_(high.clamp(min=0))
        steps = self.quant_max - self.quant_min
        self.scale.copy_(((self.high - self.low) / steps).clamp(min=SMALLEST_SCALE))
        zero_point = self.quant_min - self.low / self.scale
        self.zero_point.copy_(zero_point.round().clamp(self.quant_min, self.quant_max))
        self.observed.fill_(1)


class WeightFakeQuantize(FakeQuantize):
    """int8, symmetric, a scale to each output channel, always that of the weight as it is.

    Args:
        channels: Output channels, the size of the weight's axis 0.
        quant_max: The greatest integer; the least is its negative.
    """

    def __init__(self, channels: int, *, quant_max: int = 127, **given: object) -> None:
        super().__init__(
            channels,
            dtype=torch.int8,
            qscheme=torch.per_channel_symmetric,
            quant_min=-quant_max,
            quant_max=quant_max,
        )

    def forward(self, weight: Tensor) -> Tensor:
        """`weight`, ``[channels, …]``, rounded where rounding is on."""
        if self.calibrating or (self.training and self.observer_enabled):
            most = weight.detach().flatten(1).abs().amax(1)
            self.scale.copy_((most / self.quant_max).clamp(min=SMALLEST_SCALE))
            self.observed.fill_(1)
        if not self.fake_quant_enabled:
            return weight
        return torch.fake_quantize_per_channel_affine(
            weight, self.scale, self.zero_point, self.ch_axis, self.quant_min, self.quant_max
        )
