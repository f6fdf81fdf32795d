"""What every operation of the API document shares: the ways to fail, and the headers of answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lifecycle.core.canonical import JSON
from lifecycle.serve.description.schemas import Schema

_ERRORS: Mapping[str, tuple[str, str]] = {
    "400": ("BadRequest", "The request is wrong; the text names the field and says what is expected."),
    "401": ("Unauthorized", "A key is missing, or not one of those that are accepted."),
    "404": ("NotFound", "No such model or version is here; the text says which are."),
    "405": ("NotAllowed", "Another method; the header Allow names those that are served."),
    "421": ("Misdirected", "The server was called by a name that is not its own."),
    "408": ("Timeout", "The body did not arrive in time."),
    "413": ("TooLarge", "The body is longer than this server reads."),
    "415": ("MediaType", "The body is in a form that is not read here."),
    "422": ("ModelFailed", "Types and shapes are right, yet the network cannot compute these values."),
    "429": ("Overloaded", "It would wait too long; the header Retry-After says when to come back."),
    "500": ("Internal", "An error of the server; its log has it under this request_id."),
    "503": ("NotReady", "No model is open, or the server is stopping."),
}


def components() -> dict[str, JSON]:
    """Headers, the schema of errors and every error answer, by their names in the document."""
    return {
        "headers": _headers(),
        "schemas": {"Error": _error_schema()},
        "responses": {name: _error_response(status, text) for status, (name, text) in _ERRORS.items()},
    }


def failures(statuses: Sequence[str]) -> dict[str, JSON]:
    """References to the answers of these statuses."""
    return {status: {"$ref": f"#/components/responses/{_ERRORS[status][0]}"} for status in statuses}


def model_headers() -> dict[str, JSON]:
    """References to the headers of every answer that a model is behind."""
    names = ("X-Request-ID", "X-Model-Version", "X-Model-Digest")
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _headers() -> dict[str, JSON]:
    text: Schema = {"type": "string"}
    return {
        "X-Request-ID": {"description": "the client's own, or one made here", "schema": text},
        "X-Model-Version": {"description": "of the model behind the answer", "schema": text},
        "X-Model-Digest": {"description": "SHA-256 of its files", "schema": text},
        "Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 0}},
    }


def _error_schema() -> Schema:
    fields = {
        "error": "what is wrong, where, and what is expected",
        "code": "for programs",
        "request_id": "as in the header X-Request-ID",
    }
    return {
        "type": "object",
        "required": list(fields),
        "properties": {name: {"type": "string", "description": text} for name, text in fields.items()},
    }


def _error_response(status: str, text: str) -> Schema:
    names = ["X-Request-ID", *(["Retry-After"] if status == "429" else [])]
    headers: dict[str, JSON] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    content: dict[str, JSON] = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {"description": text, "headers": headers, "content": content}
