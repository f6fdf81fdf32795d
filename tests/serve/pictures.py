"""Image files of known pixels."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from lifecycle.core.signature import Axis, Signature, TensorSpec


def encoded(pixels: np.ndarray | Image.Image, format: str = "PNG", **options: Any) -> bytes:
    """An image file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def takes(
    *shape: Axis,
    dtype: str = "float32",
    range: tuple[float, float] | None = None,
    axes: dict[str, tuple[int, int]] | None = None,
) -> Signature:
    """The signature of a model with this input."""
    return Signature(
        inputs=(TensorSpec(name="image", dtype=dtype, shape=shape, range=range),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=(shape[0], 2)),),
        axes=axes or {},
    )
