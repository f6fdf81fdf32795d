from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from lifecycle.core.errors import UsageError
from lifecycle.core.signature import Signature
from lifecycle.serve.predict.images import LONGEST_SIDE, decode_images, image_input
from tests.serve.pictures import encoded, takes

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
COLOURS = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)


def decode(signature: Signature, *files: bytes, **limits: Any) -> np.ndarray:
    return decode_images(
        list(files), signature, **{"limit_bytes": 2**20, "limit_pixels": 50_000_000, **limits}
    )["image"]


@pytest.mark.parametrize(
    ("dtype", "range", "low", "high"),
    [
        ("uint8", None, 0, 255),
        ("uint8", (0, 16), 0, 16),
        ("int64", (0, 255), 0, 255),
        ("float32", None, 0, 1),
        ("float32", (0, 255), 0, 255),
        ("float16", (-1, 1), -1, 1),
    ],
)
def test_black_to_white_becomes_the_range(dtype: str, range: Any, low: float, high: float) -> None:
    """At the declared size no pixel is mixed with another."""
    (sample,) = decode(takes("batch", 1, 8, 8, dtype=dtype, range=range), encoded(GREY))
    expected = GREY.astype(np.float64) / 255 * (high - low) + low
    if np.dtype(dtype).kind != "f":
        expected = np.rint(expected)
    assert sample.dtype == dtype
    np.testing.assert_allclose(sample[0], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((3, 8, 8), COLOURS.transpose(2, 0, 1)), ((8, 8, 3), COLOURS)],
)
def test_channels_stand_where_the_shape_has_them(shape: tuple[int, ...], expected: np.ndarray) -> None:
    sample = decode(takes("batch", *shape, dtype="uint8"), encoded(COLOURS))[0]
    np.testing.assert_array_equal(sample, expected)


def test_grey_models_get_luma_and_colour_models_grey_thrice() -> None:
    grey = decode(takes("batch", 8, 8, dtype="uint8"), encoded(COLOURS))[0]
    np.testing.assert_allclose(grey, COLOURS @ [0.299, 0.587, 0.114], atol=1)
    colours = decode(takes("batch", 3, 8, 8, dtype="uint8"), encoded(GREY))[0]
    np.testing.assert_array_equal(colours, np.stack([GREY] * 3))


def test_transparency_lies_on_white_or_is_the_fourth_channel() -> None:
    clear = np.zeros((8, 8, 4), np.uint8)
    clear[:, :4, 3] = 255
    assert (
        decode(takes("batch", 1, 8, 8, dtype="uint8"), encoded(clear))[0, 0, 0].tolist()
        == [0] * 4 + [255] * 4
    )
    np.testing.assert_array_equal(decode(takes("batch", 8, 8, 4, dtype="uint8"), encoded(clear))[0], clear)


def test_sixteen_bits_keep_their_upper_eight() -> None:
    deep = Image.fromarray(GREY.astype(np.uint16) * 257)
    np.testing.assert_array_equal(decode(takes("batch", 8, 8, dtype="uint8"), encoded(deep))[0], GREY)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_larger_images_are_averaged_whatever_their_format(format: str) -> None:
    large = np.kron(GREY, np.ones((64, 32), np.uint8))
    sample = decode(takes("batch", 8, 8, dtype="uint8"), encoded(large, format))[0]
    np.testing.assert_allclose(sample.astype(float), GREY, atol=3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_that_was_turned_is_turned_back(orientation: int) -> None:
    """As Pillow itself does it, at the image's own size and made smaller."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(np.kron(GREY, np.ones((4, 2), np.uint8)))
    content = encoded(picture, "PNG", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(BytesIO(content)))
    own = decode(takes("batch", "h", "w", dtype="uint8"), content)[0]
    np.testing.assert_array_equal(own, np.asarray(upright))
    small = decode(takes("batch", 4, 6, dtype="uint8"), content)[0]
    expected = np.asarray(upright.resize((6, 4), Image.Resampling.BOX)).astype(int)
    np.testing.assert_allclose(small, expected, atol=1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_is_averaged(mode: str) -> None:
    """Of an even chequerboard nothing but its mean is left."""
    board = Image.fromarray(np.indices((64, 64)).sum(axis=0).astype(np.uint8) % 2 * 255)
    picture = (
        board.convert("I").point(lambda v: v * 257).convert("I;16") if mode == "I;16" else board.convert(mode)
    )
    content = encoded(
        picture, "JPEG" if mode == "CMYK" else "PNG", **({"quality": 100} if mode == "CMYK" else {})
    )
    assert np.abs(decode(takes("batch", 1, 8, 8, dtype="uint8"), content).astype(int) - 127).max() <= 3


def test_smaller_images_are_interpolated() -> None:
    ramp = np.repeat(np.array([[0, 255]], np.uint8), 2, axis=0)
    sample = decode(takes("batch", 8, 8, dtype="uint8"), encoded(ramp))[0]
    steps = np.diff(sample[0].astype(int))
    assert (steps >= 0).all()
    assert steps.max() < 80
    assert (sample == sample[0]).all()


def test_sizes_that_vary_are_the_images_own_within_limits() -> None:
    free = takes("batch", 1, "h", "w", dtype="uint8")
    assert decode(free, encoded(np.zeros((5, 7), np.uint8))).shape == (1, 1, 5, 7)
    wide = encoded(np.zeros((30, 3 * LONGEST_SIDE), np.uint8))
    assert decode(free, wide).shape == (1, 1, 10, LONGEST_SIDE)
    limited = takes("batch", 1, "h", 16, dtype="uint8", axes={"h": (4, 8)})
    assert decode(limited, encoded(np.zeros((50, 50), np.uint8))).shape == (1, 1, 8, 16)
    with pytest.raises(
        UsageError, match=r"images\[1\]: as large as the first image, \[1, 5, 7\], is expected"
    ):
        decode(free, encoded(np.zeros((5, 7), np.uint8)), encoded(np.zeros((5, 8), np.uint8)))


def bomb(width: int, height: int) -> bytes:
    """The start of a PNG that claims to be so large."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + b"\0\0\0\1IDAT"
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "this is no image that can be read; expected PNG, JPEG, WEBP, GIF or BMP, got 0 bytes"),
        (b"<svg/>", "this is no image that can be read"),
        (encoded(COLOURS, "TIFF"), "this is no image that can be read"),
        (encoded(COLOURS)[:100], "the file is damaged: "),
        (encoded(np.kron(COLOURS, np.ones((9, 9, 1), np.uint8)), "JPEG")[:-500], "the file is damaged: "),
        (bomb(10_001, 10_000), "the image is too large; expected at most 50,000,000 pixels"),
        (bomb(60_000, 60_000), "the image is too large; expected at most 50,000,000 pixels"),
    ],
)
def test_what_is_no_whole_image_of_bearable_size_is_refused(content: bytes, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        decode(takes("batch", 3, 8, 8), encoded(COLOURS), content)
    assert caught.value.message.startswith(f"images[1]: {text}")


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP"]),
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), max_size=4),
    st.floats(0, 1),
)
def test_whatever_happened_to_a_file_it_is_read_or_refused(
    format: str, changes: list[tuple[float, bytes]], kept: float
) -> None:
    content = bytearray(encoded(COLOURS, format))
    for place, replaced in changes:
        at = int(place * len(content))
        content[at : at + len(replaced)] = replaced
    try:
        sample = decode(takes("batch", 3, 4, 4), bytes(content[: max(1, int(kept * len(content)) + 20)]))
    except UsageError as error:
        assert error.message.startswith("images[0]: ")
    else:
        assert sample.shape == (1, 3, 4, 4)
        assert 0 <= sample.min() <= sample.max() <= 1


def test_images_that_need_too_much_memory_together_are_refused() -> None:
    small = encoded(GREY)
    assert decode(takes("batch", 1, 8, 8), small, small, limit_bytes=512).shape == (2, 1, 8, 8)
    with pytest.raises(UsageError, match="take more memory than is allowed; send fewer or smaller ones"):
        decode(takes("batch", 1, 8, 8), small, small, small, limit_bytes=512)


def test_a_model_that_takes_no_images_says_what_it_takes() -> None:
    with pytest.raises(
        UsageError, match=r"its input is 'image' \[batch, 20\] of float32; send JSON rows or a \.npy"
    ):
        decode(takes("batch", 20), encoded(GREY))
    for no_image in (takes("batch", 16, 32), takes("batch", 2, 8, 8), takes("batch", 1, 8, 8, dtype="bool")):
        assert image_input(no_image) is None


def test_a_fixed_batch_takes_just_as_many() -> None:
    with pytest.raises(UsageError, match="images: this model takes exactly 2 at once, got 1"):
        decode(takes(2, 1, 8, 8), encoded(GREY))
