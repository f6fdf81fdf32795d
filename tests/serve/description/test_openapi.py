"""The document says what the server does: asked for whatever it allows, and for much that it does not."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi import checks

from lifecycle.serve.body import BodyLimits
from lifecycle.serve.dataplane import DataPlane
from lifecycle.serve.routes import Routes
from tests.serve.pictures import encoded
from tests.serve.predict.test_npy import saved
from tests.serve.servers import Server

# How the text of an error begins: with the place.
FIELD = re.compile(
    r"rows\b|'rows'|inputs?\b|'inputs'|outputs?\b|id\b|array\b|images\b|form\b|the body|the request: .*parameters|parameters\b|Content-Type|Inference-Header-Content-Length|X-Timeout-Us|no model|this server has"
)
PICTURE = encoded(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4)
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
]
for name in ("png", "jpeg", "webp", "gif", "bmp"):
    schemathesis.openapi.media_type(f"image/{name}", st.one_of(st.just(PICTURE), st.binary(max_size=64)))
schemathesis.openapi.media_type(
    "application/x-npy", st.one_of(st.just(saved(np.zeros((1, 2)))), st.binary(max_size=64))
)


@pytest.fixture(scope="module")
def document(several: Server) -> dict[str, Any]:
    content: dict[str, Any] = httpx.get(several.url() + "/docs.json", timeout=60).json()
    return content


def test_it_is_a_valid_document_whose_schemas_are_valid(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.1"
    assert set(document["paths"]) >= {
        "/predict",
        "/v2",
        "/v2/models/digits/infer",
        "/v2/models/sum/versions/1",
    }
    for operation in operations(document):
        for answer in operation["responses"].values():
            if "$ref" not in answer:
                for content in answer["content"].values():
                    jsonschema.Draft202012Validator.check_schema(content["schema"])


def test_every_route_is_in_it(document: dict[str, Any]) -> None:
    pages = {"/", "/docs", "/page/models.json", "/page/{file}", "/v2/"}
    for route in Routes(DataPlane(), BodyLimits(body_bytes=1, timeout_s=1)).table():
        path = route.path.replace("{name}", "digits").replace("{version}", "1")
        methods = {method.lower() for method in route.methods or {"POST"}} - {"head"}
        assert path in pages or set(document["paths"][path]) == methods, path


def test_every_example_works_and_fits_its_schema(document: dict[str, Any], several: Server) -> None:
    tried = 0
    for path, methods in document["paths"].items():
        content = (
            methods.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
        )
        for name, example in content.get("examples", {}).items():
            jsonschema.validate(example["value"], content["schema"])
            query = {"model": name} if path == "/predict" else {}
            answer = httpx.post(several.url() + path, json=example["value"], params=query, timeout=60)
            assert answer.status_code == 200, (path, answer.text)
            schema = methods["post"]["responses"]["200"]["content"]["application/json"]["schema"]
            jsonschema.validate(answer.json(), schema)
            tried += 1
    assert tried == 4 + 2 * 5  # /predict cannot carry the two inputs of one


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_the_server_keeps_to_the_document(several: Server, mode: schemathesis.GenerationMode) -> None:
    """Each operation, with what its schema allows and with what it does not."""
    schema = schemathesis.openapi.from_url(several.url() + "/docs.json")
    answered = Counter[int]()
    with requests.Session() as session:
        for found in schema.get_all_operations():
            operation = found.ok()
            if operation.body and "/versions/" in operation.path:
                continue  # the same handler as without a version
            if mode is schemathesis.GenerationMode.NEGATIVE and not operation.body:
                continue  # nothing to get wrong

            @settings(
                max_examples=8,
                deadline=None,
                derandomize=True,
                phases=[Phase.explicit, Phase.generate],  # the first failure will do
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: schemathesis.Case) -> None:
                response = case.call_and_validate(base_url=several.url(), session=session, checks=CHECKS)
                answered[response.status_code] += 1
                if response.status_code in (400, 404, 413, 415, 422):  # 429 is a matter of the moment
                    assert FIELD.match(response.json()["error"]), response.text

            ask()
    assert answered[400]
    assert answered[200] or mode is schemathesis.GenerationMode.NEGATIVE


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for methods in document["paths"].values() for operation in methods.values()]
