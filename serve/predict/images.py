"""Image files to the input of a model: decoded within limits, turned upright, resized, scaled.

The rule by which pixels become values is one, and follows from the signature alone:

- **Size**: resized to the declared height and width without keeping the proportions; made smaller by the mean
  over the area that becomes a pixel, larger by linear interpolation (Pillow's ``BOX`` and ``BILINEAR``). A
  dynamic axis takes the image's own size, made smaller in proportion where it is over the axis' limits, or
  over `LONGEST_SIDE` where it has none.
- **Channels**: 1 is grey (ITU-R 601-2), 3 is red, green, blue, 4 adds opacity. Elsewhere what is transparent
  lies on white, as browsers show it.
- **Values**: black to white becomes least to greatest of the input's range, linearly, rounded for integers.
  Without a range it is 0 to 1 for floats and the raw 0 to 255 for integers.

Whatever else a network wants (means taken off, say) belongs into its ``forward``, where every client has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import numpy as np

from lifecycle.core.errors import UsageError
from lifecycle.core.signature import Array, Axis, Signature, TensorSpec, shape_text
from lifecycle.serve.predict.rows import single_input

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.Image import Transpose

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
_QUARTER_TURNS = ("TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
LONGEST_SIDE = 1024
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
# What undoes each orientation, in Pillow's words; it turns against the clock.
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """How an input holds images.

    Attributes:
        spec: The input; its first axis is the batch.
        layout: Order of the axes after the batch: channels, height, width.
        channels: 1, 3 or 4.
        height: Pixels, or the name of a dynamic axis.
        width: Pixels, or the name of a dynamic axis.
        limits: Least and greatest size of dynamic axes, by name.
    """

    spec: TensorSpec
    layout: Literal["CHW", "HWC", "HW"]
    channels: int
    height: Axis
    width: Axis
    limits: dict[str, tuple[int, int]]

    @property
    def value_range(self) -> tuple[float, float]:
        """What black and white become."""
        whole = (0.0, 1.0) if np.dtype(self.spec.dtype).kind == "f" else (0.0, 255.0)
        return self.spec.range or whole

    def target(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that an image of this many pixels is resized to."""
        axes = ((self.height, height), (self.width, width))
        limits = [(axis, axis) if isinstance(axis, int) else self._limits(axis) for axis, _ in axes]
        ratios = [
            high / own for (axis, own), (_, high) in zip(axes, limits, strict=True) if isinstance(axis, str)
        ]
        factor = min([1.0, *ratios])
        sizes = [
            min(max(round(own * factor), low), high)
            for (_, own), (low, high) in zip(axes, limits, strict=True)
        ]
        return sizes[0], sizes[1]

    def _limits(self, axis: str) -> tuple[int, int]:
        return self.limits.get(axis, (1, LONGEST_SIDE))


def image_input(signature: Signature) -> ImageInput | None:
    """The input of a model that takes images and nothing else; None for every other model.

    Images are ``[batch, C, H, W]`` or ``[batch, H, W, C]`` with 1, 3 or 4 channels, of floats or integers,
    and ``[batch, H, W]`` of uint8.
    """
    spec = signature.inputs[0]
    if len(signature.inputs) != 1 or np.dtype(spec.dtype).kind not in "fiu":
        return None
    sample = spec.shape[1:]
    layout: Literal["CHW", "HWC", "HW"]
    if len(sample) == 3 and sample[0] in _MODES:
        layout, (channels, height, width) = "CHW", sample
    elif len(sample) == 3 and sample[2] in _MODES:
        layout, (height, width, channels) = "HWC", sample
    elif len(sample) == 2 and spec.dtype == "uint8":
        layout, channels, (height, width) = "HW", 1, sample
    else:
        return None
    assert isinstance(channels, int)
    return ImageInput(
        spec=spec,
        layout=layout,
        channels=channels,
        height=height,
        width=width,
        limits=dict(signature.axes),
    )


def decode_images(
    files: list[bytes],
    signature: Signature,
    *,
    limit_bytes: int,
    limit_pixels: int,
) -> dict[str, Array]:
    """One sample to a file.

    Args:
        files: Contents of image files of one of `FORMATS`; of an animation the first frame counts.
        signature: Of a model that takes images.
        limit_bytes: How much memory the samples may take together.
        limit_pixels: How many pixels a file may have; looked at before any is decoded.

    Raises:
        UsageError: the model takes no images, or a file is none, is damaged, too large, or unlike the first
            where the model lets sizes vary; names the file.
    """
    single_input(signature)
    into = image_input(signature)
    if into is None:
        shapes = ", ".join(f"'{s.name}' {shape_text(s.shape)} of {s.dtype}" for s in signature.inputs)
        raise UsageError(
            f"images: this model takes none, its input is {shapes}; send JSON rows or a .npy array"
        )
    batch = into.spec.shape[0]
    if isinstance(batch, int) and len(files) != batch:
        raise UsageError(f"images: this model takes exactly {batch} at once, got {len(files)}")
    samples: list[Array] = []
    for at, content in enumerate(files):
        where = f"images[{at}]"
        samples.append(_decode(content, into, where, limit_bytes // len(files), limit_pixels))
        if samples[at].shape != samples[0].shape:
            raise UsageError(
                f"{where}: as large as the first image, {shape_text(samples[0].shape)}, is expected in one "
                f"request, got {shape_text(samples[at].shape)}; send it alone"
            )
    return {into.spec.name: np.stack(samples)}


def load_decoders() -> None:
    """Import what the commonest formats take, so that the first image does not wait for it."""
    from PIL import Image

    Image.preinit()


def _decode(content: bytes, into: ImageInput, where: str, limit_bytes: int, limit_pixels: int) -> Array:
    from PIL import Image

    image = _open(content, where, limit_pixels)
    try:
        turn = _turn(image)
        lies = turn is not None and turn.name in _QUARTER_TURNS
        own = (image.width, image.height) if lies else (image.height, image.width)
        height, width = into.target(*own)
        _check_memory(into, height, width, limit_bytes, where)
        if image.format == "JPEG":  # decoded at a half, a quarter or an eighth where that is still enough
            image.draft(image.mode, (2 * max(height, width), 2 * max(height, width)))
        # Made small before all else: a large image in memory twice is what a server cannot afford.
        size = (height, width) if lies else (width, height)
        shrinks = size[0] <= image.width and size[1] <= image.height
        resampling = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
        small = _continuous(image).resize(size, resampling)
        upright = small if turn is None else small.transpose(turn)
        pixels = np.asarray(_flat(upright, into.channels))
    except UsageError:
        raise
    except Exception as error:  # decoders raise whatever they meet in a damaged file
        raise UsageError(f"{where}: the file is damaged: {error}; save it again and resend it") from None
    return _arranged(_scaled(pixels, into), into)


def _open(content: bytes, where: str, limit_pixels: int) -> Picture:
    """Read the header alone, and judge by it."""
    from PIL import Image

    try:
        image = Image.open(BytesIO(content), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UsageError(f"{where}: {_too_large(limit_pixels)}") from None
    except Exception:  # as above
        allowed = ", ".join(FORMATS[:-1]) + " or " + FORMATS[-1]
        raise UsageError(
            f"{where}: this is no image that can be read; expected {allowed}, "
            f"got {len(content)} bytes that start with {content[:8]!r}"
        ) from None
    if image.width * image.height > limit_pixels:
        raise UsageError(f"{where}: {_too_large(limit_pixels)}, got {image.width}×{image.height}")
    return image


def _turn(image: Picture) -> Transpose | None:
    """What makes it stand as the camera was held, by EXIF's orientation (EXIF 2.32, tag 274)."""
    from PIL.ExifTags import Base
    from PIL.Image import Transpose

    orientation = image.getexif().get(Base.Orientation, 1)
    return Transpose[_TURNS[orientation]] if orientation in _TURNS else None


def _too_large(limit_pixels: int) -> str:
    return f"the image is too large; expected at most {limit_pixels:,} pixels"


def _check_memory(into: ImageInput, height: int, width: int, limit_bytes: int, where: str) -> None:
    needed = height * width * into.channels * np.dtype(into.spec.dtype).itemsize
    if needed > limit_bytes:
        raise UsageError(
            f"{where}: decoded, the images of this request take more memory than is allowed; "
            "send fewer or smaller ones"
        )


def _continuous(image: Picture) -> Picture:
    """In a mode whose pixels can be averaged: grey, RGB or RGBA of 8 bits."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in ("L", "RGB"):  # else Pillow would copy it
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _flat(image: Picture, channels: int) -> Picture:
    """In the mode of that many channels."""
    from PIL import Image

    if image.mode == "RGBA" and channels != 4:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(_MODES[channels])


def _scaled(pixels: Array, into: ImageInput) -> Array:
    low, high = into.value_range
    dtype = np.dtype(into.spec.dtype)
    if dtype.kind != "f" and (low, high) == (0, 255):
        return pixels.astype(dtype)
    values = pixels.astype(np.float64) * ((high - low) / 255) + low
    return (values if dtype.kind == "f" else np.rint(values)).astype(dtype)


def _arranged(pixels: Array, into: ImageInput) -> Array:
    if into.layout == "HW":
        return pixels
    whole = pixels if pixels.ndim == 3 else pixels[..., None]
    return whole if into.layout == "HWC" else np.ascontiguousarray(whole.transpose(2, 0, 1))
