"""The page of the endpoint's routes, from its OpenAPI document, and of what it counts."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any, cast

from docs.generate.markdown import inline, table
from lifecycle.core.signature import Signature, TensorSpec
from lifecycle.serve import errors
from lifecycle.serve.description.openapi import document
from lifecycle.serve.endpoint import Endpoint
from lifecycle.serve.observability.metrics import FAMILIES

TITLE = "HTTP"
HEAD = """[The guide](../serving.md) says how the endpoint is asked; a running server describes its own models at `/docs`, and
in OpenAPI 3.1 at `/docs.json`, from which this page is made. `NAME` and `VERSION` stand for a model's.
"""


def page() -> str:
    """Routes, headers, errors, metrics."""
    found: Any = document([_model()], version="0")
    rows = []
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            answers = ", ".join(f"{status}" for status in operation["responses"])
            takes = ", ".join(f"`{kind}`" for kind in operation.get("requestBody", {}).get("content", {}))
            rows.append((f"`{method.upper()} {path}`", operation["summary"], takes, answers))
    pages = [
        ("`GET /`", "A page to try the models in a browser", "", "200"),
        ("`GET /docs`", "How the endpoint is asked, for people", "", "200"),
    ]
    headers = found["components"]["headers"]
    return "\n".join(
        [
            HEAD,
            "## Routes\n",
            table(("route", "", "takes", "statuses"), [*pages, *rows]),
            "Every other path is answered with 404, every other method with 405 and the header `Allow`.\n",
            "## Headers of answers\n",
            table(("header", ""), [(f"`{name}`", said["description"]) for name, said in headers.items()]),
            "## Errors\n",
            'A refused request is answered with `{"error": TEXT, "code": CODE, "request_id": ID}`.\n',
            table(("status", "code", ""), _errors()),
            "## Metrics\n",
            "At `GET /metrics`, for Prometheus, summed over all workers.\n",
            table(("metric", "kind", "labels", ""), _metrics()),
        ]
    )


def _model() -> Endpoint:
    signature = Signature(
        inputs=(TensorSpec(name="image", dtype="uint8", shape=("batch", 1, 8, 8)),),
        outputs=(TensorSpec(name="logits", dtype="float32", shape=("batch", 10)),),
    )
    return cast("Endpoint", SimpleNamespace(name="NAME", version="VERSION", signature=signature))


def _errors() -> list[tuple[str, str, str]]:
    classes = [
        each
        for _, each in inspect.getmembers(errors, inspect.isclass)
        if issubclass(each, errors.RequestError)
    ]
    rows = [(each.http_status, each.code, (each.__doc__ or "").splitlines()[0]) for each in classes]
    invalid = errors.code_of(errors.UsageError(""))
    rows.append(
        (
            errors.UsageError.http_status,
            invalid,
            "A value, a shape or a name does not fit the model's signature.",
        )
    )
    rows.append(
        (
            500,
            errors.code_of(errors.LifecycleError("")),
            "The server's own failure; its log has the reason under the request's id.",
        )
    )
    return [(str(status), f"`{code}`", inline(said)) for status, code, said in sorted(rows)]


def _metrics() -> list[tuple[str, str, str, str]]:
    rows = []
    for name, family in FAMILIES.items():
        labels = ", ".join(f"`{label}`" for label in family.labels)
        exposed = name + ("_total" if family.kind == "counter" else "")
        rows.append((f"`{exposed}`", family.kind, labels, family.text))
    return rows
