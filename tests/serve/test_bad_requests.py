"""Whatever a client sends, the answer names the field, and the server stays up."""

from __future__ import annotations

import gzip
import json
import socket
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serve.asking import INFER, infer, tensor
from tests.serve.servers import Server


@pytest.mark.parametrize(
    ("tensors", "fields", "text"),
    [
        (
            [tensor(shape=[3, 1, 16, 4])],
            {},
            "input 'image': expected shape [batch, 1, 8, 8], got [3, 1, 16, 4]",
        ),
        ([tensor(shape=[192])], {}, "input 'image': expected shape [batch, 1, 8, 8], got 1 axes: [192]"),
        ([tensor(shape=[-3, 1, 8, 8])], {}, "got -3 as the size of an axis"),
        ([tensor(shape=[3.0, 1, 8, 8])], {}, "got 3.0 as the size of an axis"),
        ([tensor(shape=[True, 1, 8, 8])], {}, "got true as the size of an axis"),
        ([tensor(shape="3,1,8,8")], {}, "input 'image': expected shape [batch, 1, 8, 8], got '3,1,8,8'"),
        ([tensor(shape=[2**62, 1, 8, 8])], {}, "values for shape [4611686018427387904, 1, 8, 8], got 192"),
        ([tensor(shape=[0, 1, 8, 8], data=[])], {}, "input 'image': shape [0, 1, 8, 8] holds no elements"),
        (
            [tensor(shape=[2, 1, 8, 8])],
            {},
            "input 'image': expected 128 values for shape [2, 1, 8, 8], got 192",
        ),
        ([tensor(datatype="FP32")], {}, "input 'image': expected datatype UINT8, got 'FP32'"),
        ([tensor(datatype="BYTES")], {}, "input 'image': expected datatype UINT8, got 'BYTES'"),
        (
            [tensor(data=[300] * 192)],
            {},
            "input 'image': 300 at position 0 is out of the range of UINT8, 0 to 255",
        ),
        ([tensor(data=[0.5] * 192)], {}, "input 'image': expected integers for UINT8, got 0.5 at position 0"),
        ([tensor(data=None)], {}, "input 'image': 'data' is missing"),
        ([tensor(shape=None)], {}, "input 'image': 'shape' is missing"),
        ([tensor(datatype=None)], {}, "input 'image': 'datatype' is missing"),
        ([tensor(name=None)], {}, "inputs[0]: expected a text for 'name', got null"),
        ([tensor(name="imaeg")], {}, "inputs[0]: no such name 'imaeg'; did you mean 'image'? Allowed: image"),
        ([tensor(), tensor()], {}, "input 'image' is given twice"),
        ([], {}, "input 'image' is missing; expected: image"),
        (
            [tensor(parameters={"binary_data_size": 192})],
            {},
            "input 'image': has 'data' and 'binary_data_size' 192; send one of them",
        ),
        (
            [tensor(data=None, parameters={"binary_data_size": 192})],
            {},
            "input 'image': 'binary_data_size' is 192, but 0 bytes are left of the body; "
            "Inference-Header-Content-Length says where the JSON ends",
        ),
        (
            [tensor(data=None, parameters={"binary_data_size": -1})],
            {},
            "input 'image': expected a number of bytes for 'binary_data_size', got -1",
        ),
        (
            [tensor(parameters={"shared_memory_region": "x"})],
            {},
            "input 'image': the parameter 'shared_memory_region' asks for what this server does not do",
        ),
        (
            [tensor()],
            {"outputs": [{"name": "logits", "parameters": {"classification": 3}}]},
            "output 'logits': the parameter 'classification' asks for what this server does not do",
        ),
        (
            [tensor()],
            {"outputs": [{"name": "logits", "parameters": {"binary_data": 1}}]},
            "output 'logits': expected true or false for 'binary_data', got 1",
        ),
        ([tensor()], {"parameters": []}, "the request: expected an object for 'parameters', got a list of 0"),
        ([tensor()], {"parameters": {"timeout": -1}}, "expected microseconds for 'timeout', got -1"),
        ([tensor()], {"parameters": {"timeout": 1.5}}, "expected microseconds for 'timeout', got 1.5"),
        (
            [tensor(data=[True] * 192)],
            {},
            "input 'image': expected integers for UINT8, got true at position 0",
        ),
        ([tensor(parameters=[])], {}, "input 'image': expected an object for 'parameters', got a list of 0"),
        ([tensor()], {"id": 42}, "id: expected a text, got 42"),
        ([tensor()], {"outputs": {}}, "outputs: expected a list, got an object"),
        (
            [tensor()],
            {"outputs": [{"name": "logit"}]},
            "outputs[0]: no such name 'logit'; did you mean 'logits'?",
        ),
        ([tensor()], {"outputs": [{"name": "logits"}] * 2}, "output 'logits' is asked for twice"),
        ([tensor()], {"outputs": ["logits"]}, "outputs[0]: expected an object with a 'name', got 'logits'"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected(
    client: httpx.Client, tensors: list[dict[str, Any]], fields: dict[str, Any], text: str
) -> None:
    answer = infer(client, *tensors, **fields)
    assert answer.status_code == 400
    assert answer.json().keys() == {"error", "code", "request_id"}
    assert text in answer.json()["error"]
    assert answer.json()["code"] == "invalid_input"
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]
    assert infer(client, tensor()).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code", "text"),
    [
        (b"", 400, "invalid_json", "the body is not JSON: Input is a zero-length, empty document"),
        (b"{'inputs': []}", 400, "invalid_json", "the body is not JSON: "),
        (b"[" * 60_000, 400, "invalid_json", "the body is not JSON: depth limit exceeded"),
        (b'{"inputs": [NaN]}', 400, "invalid_json", "the body is not JSON: "),
        (b"[]", 400, "invalid_input", "the body: expected an object with 'inputs', got a list of 0"),
        (b'{"input": []}', 400, "invalid_input", "'inputs' is missing; the body has 'input'"),
        (b" " * 65_537, 413, "body_too_large", "the body is longer than 65536 bytes"),
    ],
)
def test_a_wrong_body_is_refused(
    client: httpx.Client, body: bytes, status: int, code: str, text: str
) -> None:
    answer = client.post(INFER, content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert text in answer.json()["error"]


def test_a_body_without_a_length_is_counted_as_it_comes(client: httpx.Client) -> None:
    answer = client.post(INFER, content=(b" " * 1000 for _ in range(100)))
    assert answer.status_code == 413
    assert (
        client.post("/predict", content=iter([b"[", json.dumps([0] * 64).encode(), b"]"])).status_code == 200
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "text"),
    [
        ("GET", "/nope", 404, "not_found", "no route /nope; try /docs, /v2, "),
        ("GET", "/v2/models/other", 404, "not_found", "no model 'other' here; this server has 'digits'"),
        ("POST", "/v2/models/other/infer", 404, "not_found", "no model 'other' here"),
        ("GET", "/v2/models/digits/versions/9", 404, "not_found", "no version '9' of model 'digits' here"),
        ("POST", "/v2/models/digits/versions/9/infer", 404, "not_found", "this server has '3'"),
        ("GET", INFER, 405, "method_not_allowed", f"GET {INFER} is not served; allowed: POST"),
        ("DELETE", "/v2", 405, "method_not_allowed", "DELETE /v2 is not served; allowed: GET, HEAD"),
    ],
)
def test_what_is_not_here_is_said(
    client: httpx.Client, method: str, path: str, status: int, code: str, text: str
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert text in answer.json()["error"]
    assert ("Allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize("path", [INFER, "/predict"])
def test_other_content_types_are_refused(client: httpx.Client, path: str) -> None:
    answer = client.post(path, data={"rows": "1"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
FIELD = st.one_of(
    st.none(), JSON, st.just("image"), st.just([1, 1, 8, 8]), st.just("UINT8"), st.just([0] * 64)
)
REQUEST = st.one_of(
    JSON,
    st.fixed_dictionaries({"rows": JSON}),
    st.fixed_dictionaries(
        {"inputs": st.lists(st.fixed_dictionaries({name: FIELD for name in tensor()}))},
        optional={"outputs": JSON},
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(content=REQUEST, path=st.sampled_from([INFER, "/predict"]))
def test_no_body_whatever_brings_the_server_down(client: httpx.Client, content: Any, path: str) -> None:
    answer = client.post(
        path, content=json.dumps(content).encode(), headers={"Content-Type": "application/json"}
    )
    check_answer(answer)


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Inference-Header-Content-Length": st.integers(-1, 200).map(str)
        | st.sampled_from(["", "x", "9" * 30]),
        "Content-Encoding": st.sampled_from(["gzip", "deflate", "br", "identity", ""]),
        "Accept-Encoding": st.sampled_from(["gzip", "deflate;q=0.5", ";q=", "*"]),
        "Content-Type": st.sampled_from(["application/json", "application/octet-stream", "text/plain", ";"]),
        "X-Timeout-Us": st.integers(-1, 10**7).map(str) | st.just("soon"),
    },
)
PARAMETERS = st.fixed_dictionaries(
    {}, optional={"binary_data_size": st.integers(-1, 100), "binary_data": JSON, "timeout": JSON}
)
BINARY = st.tuples(
    st.fixed_dictionaries(
        {
            "inputs": st.lists(
                st.fixed_dictionaries(
                    {"name": st.just("image"), "datatype": st.just("UINT8"), "parameters": PARAMETERS},
                    optional={
                        "shape": st.sampled_from([[1, 1, 8, 8], [0, 1, 8, 8], [2**40, 1, 8, 8]]) | JSON
                    },
                ),
                max_size=2,
            )
        },
        optional={"parameters": PARAMETERS},
    ),
    st.binary(max_size=130),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(content=BINARY | st.binary(max_size=300), headers=HEADERS, packed=st.booleans(), exact=st.booleans())
def test_no_bytes_whatever_bring_the_server_down(
    client: httpx.Client, content: Any, headers: dict[str, str], packed: bool, exact: bool
) -> None:
    body = content
    if isinstance(content, tuple):
        text = json.dumps(content[0]).encode()
        body = text + content[1]
        if exact:
            headers = {**headers, "Inference-Header-Content-Length": str(len(text))}
    body = gzip.compress(body) if packed else body
    check_answer(client.post(INFER, content=body, headers=headers))


def check_answer(answer: httpx.Response) -> None:
    if answer.status_code != 200:
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.json().keys() == {"error", "code", "request_id"}
        assert len(answer.json()["error"]) < 1000


def test_a_client_that_leaves_in_the_middle_leaves_no_trace(client: httpx.Client, server: Server) -> None:
    lines = server.stderr
    address = client.base_url
    for _ in range(5):
        with socket.create_connection((address.host, address.port or 0)) as connection:
            connection.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
    assert infer(client, tensor()).status_code == 200
    assert server.stderr == lines
