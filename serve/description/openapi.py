"""The OpenAPI 3.1 document of what is served now, made from the signatures (https://spec.openapis.org/oas/v3.1.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast
from urllib.parse import quote

from lifecycle.core.canonical import JSON
from lifecycle.core.signature import shape_text
from lifecycle.serve.description import schemas
from lifecycle.serve.description.examples import example_request, example_rows
from lifecycle.serve.description.openapi_errors import components, failures, model_headers
from lifecycle.serve.description.schemas import Schema
from lifecycle.serve.endpoint import Endpoint
from lifecycle.serve.inference import TIMEOUT
from lifecycle.serve.predict.images import image_input
from lifecycle.serve.predict.rows import takes_rows
from lifecycle.serve.protocol.binary import HEADER

_ASKING = ("400", "401", "404", "408", "413", "415", "421", "422", "429", "500", "503")
_STATISTICS: Schema = {
    "type": "object",
    "required": ["model_stats"],
    "properties": {"model_stats": {"type": "array", "items": {"type": "object"}}},
}
_LOOKING = ("401", "404", "421", "500", "503")


def document(endpoints: Sequence[Endpoint], *, version: str) -> dict[str, JSON]:
    """The document, for JSON.

    Args:
        endpoints: What answers now; their names and versions stand in the paths.
        version: Of the server program.
    """
    paths: dict[str, JSON] = {**_server_paths(), **_predict_path(endpoints)}
    for endpoint in endpoints:
        paths |= _model_paths(endpoint)
    names = ", ".join(f"{endpoint.name} version {endpoint.version}" for endpoint in endpoints)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Model endpoint",
            "version": version,
            "description": f"Serves {names or 'no model yet'}, by the Open Inference Protocol V2 and at "
            "/predict for people.",
        },
        "servers": [{"url": "./"}],
        "tags": [
            {"name": "predict", "description": "For people: rows, an array or images."},
            {"name": "protocol", "description": "Open Inference Protocol V2, for client libraries."},
            {"name": "server", "description": "Probes and descriptions."},
        ],
        "paths": paths,
        "components": {
            **components(),
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "key_header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
        # A key is asked for only where the server was started with some.
        "security": [{}, {"key": []}, {"key_header": []}],
    }


def _server_paths() -> dict[str, JSON]:
    live = _operation("live", "Does the process answer?", "server", _flag("live"), errors=("500",))
    ready = _operation("ready", "Is a model open?", "server", _flag("ready"), errors=("500", "503"))
    about: Schema = {
        "type": "object",
        "required": ["name", "version", "extensions"],
        "properties": {
            "name": {"type": "string"},
            "version": {"type": "string"},
            "extensions": {"type": "array", "items": {"type": "string"}},
        },
    }
    metadata = _operation("server", "What this server is", "protocol", about, errors=("401", "421", "500"))
    found: dict[str, JSON] = {"/livez": {"get": live}, "/readyz": {"get": ready}, "/v2": {"get": metadata}}
    for name, operation in (("live", live), ("ready", ready)):
        found[f"/v2/health/{name}"] = {
            "get": {**operation, "operationId": f"v2_{name}", "tags": ["protocol"]}
        }
    found["/v2/models/stats"] = {
        "get": _operation("stats", "What all models did so far", "protocol", _STATISTICS, errors=_LOOKING)
    }
    counted = _operation("metrics", "What was counted", "server", {}, errors=("401", "404", "421", "500"))
    done = cast("dict[str, JSON]", cast("dict[str, JSON]", counted["responses"])["200"])
    done["content"] = {
        media_type: {"schema": {"type": "string"}}
        for media_type in ("text/plain", "application/openmetrics-text")
    }
    found["/metrics"] = {"get": counted}
    itself = _operation(
        "document", "This document", "server", {"type": "object"}, errors=("401", "421", "500")
    )
    return {**found, "/docs.json": {"get": itself}}


def _predict_path(endpoints: Sequence[Endpoint]) -> dict[str, JSON]:
    taking = [endpoint for endpoint in endpoints if takes_rows(endpoint.signature)]
    if not taking:
        return {}
    operation = _operation("predict", "Ask a model", "predict", _predict_answer(taking), errors=_ASKING)
    names: list[JSON] = [endpoint.name for endpoint in taking]
    several = len(endpoints) > 1
    operation["parameters"] = [
        {
            "name": "model",
            "in": "query",
            "required": several,
            "description": "which model" + ("" if several else "; there is one"),
            "schema": {"enum": names},
        }
    ]
    operation["requestBody"] = {"required": True, "content": _predict_body(taking)}
    return {"/predict": {"post": operation}}


def _predict_body(taking: Sequence[Endpoint]) -> Schema:
    """The forms in which `/predict` takes inputs."""
    signatures = [endpoint.signature for endpoint in taking]
    body: Schema = {
        "application/json": {
            "schema": _any([schemas.rows(signature) for signature in signatures]),
            "examples": _examples({e.name: example_rows(e.signature) for e in taking}),
        },
        "application/x-npy": {"schema": _binary("a .npy file; its first axis counts the rows")},
    }
    if any(image_input(signature) for signature in signatures):
        for media_type in ("image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp"):
            body[media_type] = {"schema": _binary("an image; it is resized to what the model takes")}
        body["multipart/form-data"] = {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "array", "minItems": 1, "items": _binary("an image")}},
            }
        }
    return body


def _predict_answer(taking: Sequence[Endpoint]) -> Schema:
    """What `/predict` answers."""
    predictions = [schemas.prediction(endpoint.signature) for endpoint in taking]
    return {
        "type": "object",
        "required": ["predictions", "model_name", "model_version", "digest", "latency_ms"],
        "properties": {
            "predictions": {"type": "array", "items": _any(predictions)},
            "model_name": {"enum": [endpoint.name for endpoint in taking]},
            "model_version": {"type": "string"},
            "digest": {"type": "string"},
            "latency_ms": {"type": "number", "description": "decoding, waiting and computing"},
        },
    }


def _model_paths(endpoint: Endpoint) -> dict[str, JSON]:
    """Each path twice: whichever version answers, and this one."""
    plain = f"/v2/models/{quote(endpoint.name, safe='')}"
    found: dict[str, JSON] = {}
    for suffix, path in (("", plain), (f"_{endpoint.version}", f"{plain}/versions/{endpoint.version}")):
        name = f"{endpoint.name}{suffix}"
        found[path] = {"get": _metadata_operation(endpoint, name)}
        ready = _flag("ready", name={"type": "string"})
        text = "Is this model open?"
        found[f"{path}/ready"] = {
            "get": _operation(f"ready_{name}", text, "protocol", ready, errors=_LOOKING)
        }
        text = "What this version did so far"
        found[f"{path}/stats"] = {
            "get": _operation(f"stats_{name}", text, "protocol", _STATISTICS, errors=_LOOKING)
        }
        found[f"{path}/infer"] = {"post": _infer_operation(endpoint, name)}
    return found


def _metadata_operation(endpoint: Endpoint, name: str) -> dict[str, JSON]:
    tensors: Schema = {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["name", "datatype", "shape"],
            "properties": {
                "name": {"type": "string"},
                "datatype": {"type": "string"},
                "shape": {"type": "array", "items": {"type": "integer", "minimum": -1}},
            },
        },
    }
    answer: Schema = {
        "type": "object",
        "required": ["name", "versions", "platform", "inputs", "outputs"],
        "properties": {
            "name": {"const": endpoint.name},
            "versions": {"type": "array", "items": {"type": "string"}},
            "platform": {"type": "string"},
            "inputs": tensors,
            "outputs": tensors,
        },
    }
    return _operation(f"model_{name}", "What this model takes and gives", "protocol", answer, errors=_LOOKING)


def _infer_operation(endpoint: Endpoint, name: str) -> dict[str, JSON]:
    signature = endpoint.signature
    answer = schemas.infer_answer(signature)
    operation = _operation(f"infer_{name}", "Inference", "protocol", answer, errors=_ASKING)
    operation["description"] = "Inputs: " + "; ".join(
        f"{spec.name} {shape_text(spec.shape)} {spec.dtype}" for spec in signature.inputs
    )
    operation["parameters"] = [_length_header(), _timeout_header()]
    binary = _binary("JSON, whose length a header says, then the bytes of tensors (binary tensor extension)")
    operation["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {
                "schema": schemas.infer_request(signature),
                "examples": _examples({"one sample": example_request(signature)}),
            },
            "application/octet-stream": {"schema": binary},
        },
    }
    done = cast("dict[str, JSON]", cast("dict[str, JSON]", operation["responses"])["200"])
    cast("dict[str, JSON]", done["content"])["application/octet-stream"] = {"schema": binary}
    return operation


def _length_header() -> Schema:
    text = "bytes of JSON at the beginning of a body with binary tensors"
    schema: Schema = {"type": "integer", "minimum": 0}
    return {"name": HEADER, "in": "header", "required": False, "description": text, "schema": schema}


def _timeout_header() -> Schema:
    text = "microseconds that the request may wait"
    schema: Schema = {"type": "integer", "minimum": 1}
    return {"name": TIMEOUT, "in": "header", "required": False, "description": text, "schema": schema}


def _operation(
    identifier: str, summary: str, tag: str, answer: Schema, *, errors: Sequence[str]
) -> dict[str, JSON]:
    done: JSON = {
        "description": "Done",
        "headers": model_headers(),
        "content": {"application/json": {"schema": answer}},
    }
    return {
        "operationId": identifier,
        "summary": summary,
        "tags": [tag],
        "responses": cast("JSON", {"200": done, **failures(errors)}),
    }


def _flag(flag: str, **more: JSON) -> Schema:
    properties: dict[str, JSON] = {flag: {"type": "boolean"}, **more}
    return {"type": "object", "required": list(properties), "properties": properties}


def _any(found: Sequence[Schema]) -> Schema:
    return found[0] if len(found) == 1 else {"anyOf": list(found)}


def _binary(text: str) -> Schema:
    return {"type": "string", "format": "binary", "description": text}


def _examples(values: Mapping[str, JSON]) -> Schema:
    return {name: {"value": value} for name, value in values.items() if value is not None}
