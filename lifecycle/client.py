"""A client of ``POST /predict``, with nothing but Python's own library."""

from __future__ import annotations

import io
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from lifecycle.core.canonical import JSON
from lifecycle.core.errors import LifecycleError, UsageError

if TYPE_CHECKING:
    from lifecycle.core.signature import Array

API_KEY = "LIFECYCLE_API_KEY"
NPY = "application/x-npy"
_MAGIC = (
    (b"\x93NUMPY", NPY),
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
)
# What the caller can mend: the file, the model's name, or the key.
_CALLERS = (400, 401, 403, 404, 413, 415, 422)


@dataclass(frozen=True, kw_only=True)
class Question:
    """A body and what it is.

    Attributes:
        content: Bytes to post.
        media_type: For ``Content-Type``.
    """

    content: bytes
    media_type: str


def read_question(files: Sequence[Path]) -> Question:
    """The body that asks about one file of rows, one array, or images.

    Raises:
        UsageError: a file is missing or of no kind that can be sent, or several are not all images.
    """
    questions = [_read(file) for file in files]
    if len(questions) == 1:
        return questions[0]
    for file, question in zip(files, questions, strict=True):
        if not question.media_type.startswith("image/"):
            raise UsageError(f"{file} is no image; only images can be sent several at once")
    return _form(files, questions)


def question_of(rows: Array | Sequence[JSON] | Path | Sequence[Path]) -> Question:
    """The body that asks about an array whose first axis counts samples, a list of rows, or files.

    Raises:
        UsageError: it is none of these.

    >>> question_of([[1, 2]]).content
    b'{"rows": [[1, 2]]}'
    """
    if isinstance(rows, Path):
        return read_question([rows])
    if hasattr(rows, "dtype"):
        import numpy as np

        buffer = io.BytesIO()
        np.save(buffer, np.asarray(rows), allow_pickle=False)
        return Question(content=buffer.getvalue(), media_type=NPY)
    if isinstance(rows, str | bytes) or not isinstance(rows, Sequence) or not rows:
        raise UsageError(
            f"{type(rows).__name__} cannot be asked about; expected an array, a list of rows, or paths"
        )
    if all(isinstance(row, Path) for row in rows):
        return read_question(cast("Sequence[Path]", rows))
    try:
        content = json.dumps({"rows": rows}).encode()
    except TypeError as error:
        raise UsageError(f"the rows cannot be written as JSON: {error}") from None
    return Question(content=content, media_type="application/json")


def ask(
    url: str,
    question: Question,
    *,
    model: str | None = None,
    timeout_s: float = 60,
    environment: Mapping[str, str] = os.environ,
) -> dict[str, JSON]:
    """Post to ``/predict``; with the key in ``LIFECYCLE_API_KEY``, where there is one.

    Args:
        url: ``http://HOST:PORT``, and a path below which the server answers, if any.
        question: From `read_question`.
        model: Which one, where the server has several.
        timeout_s: How long to wait for the answer.
        environment: Where to look for the key.

    Raises:
        UsageError: `url` is no http address, or the endpoint says that the request is wrong.
        LifecycleError: the endpoint cannot be reached, fails, or is another kind of server.
    """
    address = predict_address(url, model)
    headers = {"Content-Type": question.media_type, "Accept": "application/json"}
    if key := environment.get(API_KEY, "").strip():
        headers["Authorization"] = f"Bearer {key}"
    try:
        with urlopen(Request(address, question.content, headers), timeout=timeout_s) as response:
            answer = json.load(response)
    except HTTPError as error:
        raise _refusal(address, error) from None
    except (OSError, HTTPException) as error:
        raise LifecycleError(
            f"{address} cannot be reached: {getattr(error, 'reason', None) or error or type(error).__name__}",
            hint="Start it with: lifecycle serve models:/NAME@champion",
        ) from None
    except ValueError:
        raise LifecycleError(f"{address} did not answer with JSON: it is another kind of server") from None
    if not isinstance(answer, dict) or not isinstance(answer.get("predictions"), list):
        raise LifecycleError(f"{address} gave no predictions: it is another kind of server")
    return cast("dict[str, JSON]", answer)


def predict_address(url: str, model: str | None = None) -> str:
    """Where to post to.

    Raises:
        UsageError: `url` is no http address.

    >>> predict_address("http://localhost:3000/"), predict_address("https://h/m/predict", "digits")
    ('http://localhost:3000/predict', 'https://h/m/predict?model=digits')
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise UsageError(f"'{url}' is no address of an endpoint; expected http://HOST:PORT")
    path = parts.path.rstrip("/").removesuffix("/predict") + "/predict"
    query = f"model={quote(model, safe='')}" if model else parts.query
    return urlunsplit((parts.scheme, parts.netloc, path, query, ""))


def _read(file: Path) -> Question:
    if not file.is_file():
        raise UsageError(f"no file {file}")
    content = file.read_bytes()
    for magic, media_type in _MAGIC:
        if content.startswith(magic):
            return Question(content=content, media_type=media_type)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return Question(content=content, media_type="image/webp")
    try:
        json.loads(content)
    except ValueError as error:
        allowed = "a JSON list of rows, a .npy array, or a PNG, JPEG, WebP, GIF or BMP image"
        raise UsageError(f"{file} cannot be sent: expected {allowed} ({error})") from None
    return Question(content=content, media_type="application/json")


def _form(files: Sequence[Path], questions: Sequence[Question]) -> Question:
    boundary = uuid.uuid4().hex
    lines: list[bytes] = []
    for file, question in zip(files, questions, strict=True):
        name = file.name.translate({34: "%22", 13: "%0D", 10: "%0A"})
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        head += f"Content-Type: {question.media_type}\r\n"
        lines += [head.encode(errors="replace"), question.content]
    body = b"\r\n".join([*lines, f"--{boundary}--\r\n".encode()])
    return Question(content=body, media_type=f"multipart/form-data; boundary={boundary}")


def _refusal(address: str, error: HTTPError) -> LifecycleError:
    """What the server said, and what to do where that is known."""
    text = error.read(65_536).decode(errors="replace").strip()
    try:
        content = json.loads(text)
        said = f"{content['error']} (request {content['request_id']})"
    except (ValueError, KeyError, TypeError):
        said = text[:500] or str(error.reason)
    hint = ""
    if error.code in (401, 403):
        hint = f"Put the endpoint's key into the environment variable {API_KEY}."
    elif error.code in (429, 503):
        hint = f"Try again in {error.headers.get('Retry-After', '1')} s."
    kind = UsageError if error.code in _CALLERS else LifecycleError
    return kind(f"{address} answered {error.code}: {said}", hint=hint)
