"""What is sent back: JSON, the headers that name the model, and errors in one form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from lifecycle.core.errors import LifecycleError
from lifecycle.serve.endpoint import Endpoint
from lifecycle.serve.errors import OverloadedError, code_of

if TYPE_CHECKING:
    from starlette.types import Scope, Send

Headers: TypeAlias = "list[tuple[bytes, bytes]]"
JSON_TYPE = (b"content-type", b"application/json")
INTERNAL = "internal error; the server's log has it under this request_id"


def model_headers(endpoint: Endpoint | None) -> dict[str, str]:
    """Which version an answer is from; nothing where it is from none."""
    if endpoint is None:
        return {}
    return {"X-Model-Version": endpoint.version, "X-Model-Digest": endpoint.digest}


def error_content(scope: Scope, code: str, text: str) -> dict[str, object]:
    """The body of an error; the code is left for who counts and logs."""
    state = scope.setdefault("state", {})
    state["code"] = code
    return {"error": text, "code": code, "request_id": state.get("request_id")}


def error_headers(error: LifecycleError) -> Mapping[str, str]:
    """What goes with it."""
    return {"Retry-After": str(error.retry_after_s)} if isinstance(error, OverloadedError) else {}


def refusal(scope: Scope, error: LifecycleError) -> tuple[int, Mapping[str, str], dict[str, object]]:
    """Status, headers and body of the answer to a request that cannot be answered as asked."""
    return error.http_status, error_headers(error), error_content(scope, code_of(error), str(error))


async def send_answer(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Send it, over plain ASGI."""
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def encoded(headers: Mapping[str, str]) -> Headers:
    """As ASGI wants them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
