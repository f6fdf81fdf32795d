"""The body of ``POST /predict`` to arrays, whatever it is: rows in JSON, an array, images.

===================================================  =====================================
``application/json``                                 rows, `lifecycle.serve.predict.rows`
``application/x-npy``                                an array, `lifecycle.serve.predict.npy`
``image/…``                                          one image, `lifecycle.serve.predict.images`
``multipart/form-data``                              image files, one to a row
``application/octet-stream``                         an array or an image, told by its first bytes
===================================================  =====================================
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from lifecycle.core.errors import UsageError
from lifecycle.core.signature import Array, Signature
from lifecycle.serve.errors import MediaTypeError, RequestError
from lifecycle.serve.predict.images import decode_images
from lifecycle.serve.predict.npy import MAGIC, decode_npy
from lifecycle.serve.predict.rows import decode_text

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from starlette.types import Message

JSON_TYPE = "application/json"
NPY_TYPE = "application/x-npy"
FORM_TYPE = "multipart/form-data"
BINARY_TYPE = "application/octet-stream"
LIMIT_FILES = 256
LIMIT_TENSOR_BYTES = 256 * 2**20


def media_type_of(content_type: str) -> str:
    """The type without its parameters, in small letters.

    >>> media_type_of("Multipart/Form-Data; boundary=x")
    'multipart/form-data'
    """
    return content_type.partition(";")[0].strip().lower()


def check_media_type(content_type: str) -> None:
    """Raise `MediaTypeError` unless `decode_upload` reads such bodies; before one is read."""
    found = media_type_of(content_type)
    known = found in (JSON_TYPE, NPY_TYPE, FORM_TYPE, BINARY_TYPE)
    if known or found.endswith("+json") or found.startswith("image/"):
        return
    raise MediaTypeError(
        f"Content-Type: expected {JSON_TYPE} (rows), {NPY_TYPE} (an array), image/png and the like "
        f"(an image) or {FORM_TYPE} (image files), got {found[:40]!r}"
    )


async def decode_upload(
    body: memoryview,
    content_type: str,
    signature: Signature,
    executor: Executor,
    *,
    limit_pixels: int,
) -> dict[str, Array]:
    """Inputs by name.

    Args:
        body: Of the request.
        content_type: What the client says it is.
        signature: What it must become.
        executor: Where images are decoded, so that the event loop goes on.
        limit_pixels: How many pixels an image may have.

    Raises:
        UsageError: the values are not what the signature declares.
        RequestError: the body is not what `content_type` says, or that is nothing that is read here.
    """
    check_media_type(content_type)
    found = media_type_of(content_type)
    if found == NPY_TYPE or (found == BINARY_TYPE and body[: len(MAGIC)] == MAGIC):
        return decode_npy(body, signature)
    if found == FORM_TYPE:
        files = await _files(bytes(body), content_type)
    elif found == BINARY_TYPE or found.startswith("image/"):
        files = [bytes(body)]
    else:
        return decode_text(bytes(body), signature)

    def decode() -> dict[str, Array]:
        return decode_images(files, signature, limit_bytes=LIMIT_TENSOR_BYTES, limit_pixels=limit_pixels)

    return await asyncio.get_running_loop().run_in_executor(executor, decode)


async def _files(body: bytes, content_type: str) -> list[bytes]:
    """The files of a form, in its order."""

    async def receive() -> Message:
        return await anext(messages)

    async def once() -> AsyncIterator[Message]:
        yield {"type": "http.request", "body": body, "more_body": False}

    messages = once()
    headers = [(b"content-type", content_type.encode("latin-1", "replace"))]
    asked = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    files: list[bytes] = []
    try:
        async with asked.form(max_files=LIMIT_FILES, max_fields=LIMIT_FILES) as form:
            for name, value in form.multi_items():
                if not isinstance(value, UploadFile):
                    raise UsageError(f"form: field {name[:40]!r} is no file; send image files only")
                files.append(await value.read())
    except MultiPartException as error:
        raise RequestError(f"form: {error.message}") from None
    if not files:
        raise UsageError("form: it holds no file; send image files, one to a row")
    return files
