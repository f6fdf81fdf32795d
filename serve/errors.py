"""How a request can fail: a status for HTTP, a code for programs, a text for people.

::

    UsageError              400 invalid_input       values, shapes, names (lifecycle.core.errors)
    RequestError            400 invalid_request
      x MalformedError      400 invalid_json
      x UnauthorizedError   401 unauthorized        no API key, or a wrong one
      x UnknownError        404 not_found           no such model, version or route
      x SlowBodyError       408 request_timeout
      x BodyTooLargeError   413 body_too_large
      x MediaTypeError      415 unsupported_media_type
      x ForbiddenHostError  421 misdirected_request  called by a name that is not this server's
      x ModelFailedError    422 model_failed        well-formed, but the network cannot compute it
      x OverloadedError     429 overloaded
      x GoneError           499 client_gone         nobody is there to read it
      x NotReadyError       503 not_ready
"""

from __future__ import annotations

import math
from typing import ClassVar

from lifecycle.core.errors import LifecycleError, UsageError


class RequestError(LifecycleError):
    """A request that cannot be answered as asked."""

    http_status = 400
    code: ClassVar[str] = "invalid_request"


class MalformedError(RequestError):
    """The body is not JSON."""

    code = "invalid_json"


class UnauthorizedError(RequestError):
    """The request brings no API key, or one that is not known."""

    http_status = 401
    code = "unauthorized"


class UnknownError(RequestError):
    """The model, version or route is not here."""

    http_status = 404
    code = "not_found"


class SlowBodyError(RequestError):
    """The body did not arrive in time."""

    http_status = 408
    code = "request_timeout"


class BodyTooLargeError(RequestError):
    """The body is longer than the limit."""

    http_status = 413
    code = "body_too_large"


class MediaTypeError(RequestError):
    """The body is in a form that is not read here."""

    http_status = 415
    code = "unsupported_media_type"


class ForbiddenHostError(RequestError):
    """The ``Host`` header names another server (RFC 9110, 15.5.20)."""

    http_status = 421
    code = "misdirected_request"


class ModelFailedError(RequestError):
    """Types and shapes are right, yet the network fails on these values: an index out of bounds, say."""

    http_status = 422
    code = "model_failed"


class OverloadedError(RequestError):
    """More requests wait than can be answered soon; nothing was computed, and it is safe to ask again.

    Args:
        message: What there is too much of.
        retry_after_s: When to ask again, as far as can be told.
    """

    http_status = 429
    code = "overloaded"

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = max(1, math.ceil(retry_after_s))


class GoneError(RequestError):
    """The client closed the connection while its request waited; only logs see this."""

    http_status = 499
    code = "client_gone"


class NotReadyError(RequestError):
    """No model is open."""

    http_status = 503
    code = "not_ready"


def code_of(error: LifecycleError) -> str:
    """The word that programs switch on.

    >>> code_of(UsageError("input 'image' is missing"))
    'invalid_input'
    """
    if isinstance(error, RequestError):
        return error.code
    return "invalid_input" if isinstance(error, UsageError) else "internal"
