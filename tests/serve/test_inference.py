"""The binary tensor extension, deadlines and statistics over a socket, without a client library."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from lifecycle.core.artifact import Artifact
from lifecycle.serve.batching.options import Batching
from lifecycle.serve.dataplane import DataPlane
from lifecycle.serve.settings import ServedModel, Settings
from tests.serve.asking import IMAGES, INFER, Local, infer, tensor
from tests.serve.bundles import expected_logits, identity_bundle, log_bundle, sum_bundle
from tests.serve.held import recorded
from tests.serve.servers import started

HEADER = "Inference-Header-Content-Length"


def binary(arrays: dict[str, np.ndarray], datatype: str, **fields: Any) -> tuple[bytes, dict[str, str]]:
    """A request whose inputs are all bytes."""
    inputs = [
        {
            "name": name, "datatype": datatype, "shape": list(array.shape),
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, array in arrays.items()
    ]  # fmt: skip
    head = json.dumps({"inputs": inputs, **fields}).encode()
    return head + b"".join(array.tobytes() for array in arrays.values()), {HEADER: str(len(head))}


def unpack(answer: httpx.Response) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The JSON of an answer, and the outputs that came as bytes."""
    assert answer.status_code == 200, answer.text
    size = int(answer.headers[HEADER])
    head, tail = json.loads(answer.content[:size]), answer.content[size:]
    arrays = {}
    for output in head["outputs"]:
        if "data" not in output:
            length = output["parameters"]["binary_data_size"]
            arrays[output["name"]] = np.frombuffer(tail[:length], np.float32).reshape(output["shape"])
            tail = tail[length:]
    assert tail == b""
    return head, arrays


def test_bytes_in_and_bytes_out(client: httpx.Client) -> None:
    body, headers = binary({"image": IMAGES}, "UINT8", id="7", parameters={"binary_data_output": True})
    answer = client.post(INFER, content=body, headers=headers)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    head, arrays = unpack(answer)
    assert (head["id"], head["model_version"]) == ("7", "3")
    np.testing.assert_allclose(arrays["logits"], expected_logits(IMAGES), rtol=1e-4, atol=1e-5)
    assert arrays["probabilities"].shape == (3, 10)


def test_each_output_comes_as_it_was_asked_for(client: httpx.Client) -> None:
    outputs = [
        {"name": "probabilities", "parameters": {"binary_data": False}},
        {"name": "logits"},
    ]
    body, headers = binary(
        {"image": IMAGES}, "UINT8", outputs=outputs, parameters={"binary_data_output": True}
    )
    head, arrays = unpack(client.post(INFER, content=body, headers=headers))
    assert list(arrays) == ["logits"]
    assert len(head["outputs"][0]["data"]) == 30
    answer = client.post(
        INFER,
        content=binary({"image": IMAGES}, "UINT8")[0],
        headers=headers | binary({"image": IMAGES}, "UINT8")[1],
    )
    assert answer.headers["Content-Type"] == "application/json"
    assert HEADER not in answer.headers


def test_json_and_bytes_side_by_side(bundle_path: Path) -> None:
    local = Local(DataPlane()).open(sum_bundle(bundle_path))
    left = np.array([[1, 2]], np.float32)
    body, headers = binary({"left": left}, "FP32")
    head = json.loads(body[: int(headers[HEADER])])
    head["inputs"].insert(0, {"name": "right", "datatype": "FP32", "shape": [1, 2], "data": [10, 20]})
    text = json.dumps(head).encode()
    answer = local.send_bytes("/v2/models/m/infer", text + left.tobytes(), {HEADER: str(len(text))})
    assert answer.json()["outputs"][0]["data"] == [11, 22]
    local.plane.close()


def test_what_is_not_finite_passes_as_bytes_and_is_null_as_json(bundle_path: Path) -> None:
    local = Local(DataPlane()).open(log_bundle(bundle_path))
    numbers = np.array([[np.inf, -1], [np.nan, 0]], np.float32)
    body, headers = binary({"x": numbers}, "FP32", parameters={"binary_data_output": True})
    _, arrays = unpack(local.send_bytes("/v2/models/m/infer", body, headers))
    np.testing.assert_array_equal(arrays["y"], [[np.inf, np.nan], [np.nan, -np.inf]])
    body, headers = binary({"x": numbers}, "FP32")
    assert local.send_bytes("/v2/models/m/infer", body, headers).json()["outputs"][0]["data"] == [None] * 4
    local.plane.close()


def test_texts_pass_both_ways(bundle_path: Path) -> None:
    local = Local(DataPlane()).open(identity_bundle(bundle_path, "object"))
    given = {"name": "x", "datatype": "BYTES", "shape": [1, 2], "data": ["a", "é"]}
    answer = local.post("/v2/models/m/infer", {"inputs": [given]})
    assert answer.json()["outputs"] == [{**given, "name": "y"}]
    packed = b"\1\0\0\0a" + b"\2\0\0\0" + "é".encode()
    entry = {**given, "parameters": {"binary_data_size": len(packed)}}
    del entry["data"]
    text = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
    answer = local.send_bytes("/v2/models/m/infer", text + packed, {HEADER: str(len(text))})
    assert answer.content[int(answer.headers[HEADER]) :] == packed
    local.plane.close()


@pytest.mark.parametrize(
    ("size", "extra", "text"),
    [
        ("192", b"", "input 'image': 'binary_data_size' is 192, but "),
        ("x", b"", "Inference-Header-Content-Length: expected a number of bytes, got 'x'"),
        ("999999", b"", "Inference-Header-Content-Length is 999999, but the body has only "),
        (None, b"!!", "the body: 2 bytes at its end belong to no input's 'binary_data_size'"),
    ],
)
def test_a_wrong_layout_is_named(client: httpx.Client, size: str | None, extra: bytes, text: str) -> None:
    body, headers = binary({"image": IMAGES}, "UINT8")
    if size == "192":
        body = body[:-1]
    elif size is not None:
        headers = {HEADER: size}
    answer = client.post(INFER, content=body + extra, headers=headers)
    assert answer.status_code == 400
    assert text in answer.json()["error"]


@pytest.mark.parametrize("stated", ["0", "-1", "1s", "9" * 20])
def test_a_wrong_timeout_is_named(client: httpx.Client, stated: str) -> None:
    answer = client.post(INFER, json={"inputs": [tensor()]}, headers={"X-Timeout-Us": stated})
    assert answer.status_code == 400
    assert answer.json()["error"] == f"X-Timeout-Us: expected microseconds, got {stated!r}"


def test_a_generous_timeout_changes_nothing(client: httpx.Client) -> None:
    assert infer(client, tensor(), parameters={"timeout": 10_000_000}).status_code == 200
    answer = client.post(INFER, json={"inputs": [tensor()]}, headers={"X-Timeout-Us": "10000000"})
    assert answer.status_code == 200


@pytest.mark.parametrize("how", ["parameter", "header"])
def test_a_request_may_say_how_long_it_waits(digits: Artifact, how: str) -> None:
    """It waits behind one that is computed, for a microsecond; and is not computed itself."""
    endpoint, recorder = recorded(digits, Batching(deadline_s=60))
    local = Local(DataPlane())
    local.plane.put(endpoint)
    content: dict[str, Any] = {"inputs": [tensor()]}
    headers = {"X-Timeout-Us": "1"} if how == "header" else {}
    hasty = content | ({"parameters": {"timeout": 1}} if how == "parameter" else {})

    async def two() -> list[httpx.Response]:
        with recorder:
            first = asyncio.create_task(local.send("POST", "/v2/models/m/infer", json=content))
            while not recorder.sizes:
                await asyncio.sleep(0.001)
            options = {"json": hasty, "headers": headers}
            second = asyncio.create_task(local.send("POST", "/v2/models/m/infer", **options))
            while endpoint.batcher.accepted < 2:
                await asyncio.sleep(0.001)
        return await asyncio.gather(first, second)

    first, second = asyncio.run(two())
    assert (first.status_code, second.status_code) == (200, 429)
    assert "its turn did not come before its deadline; it was not computed" in second.json()["error"]
    assert recorder.sizes == [3]
    local.plane.close()


def test_several_models_and_workers_answer_and_count_together(digits: Artifact, tmp_path: Path) -> None:
    """Two models on two workers; which worker answers is chance, the sums are not."""
    other = log_bundle(tmp_path / "bundle")
    models = (
        ServedModel(name="digits", version="3", bundle=digits.path),
        ServedModel(name="log", version="1", bundle=other.path),
    )
    settings = Settings(models=models, port=0, workers=2, threads=1)
    with started(settings, tmp_path / "server") as server:
        url = server.url()
        server.wait_for(lambda: server.stderr.count("serving log version 1") == 2 or None)
        for _ in range(20):
            with httpx.Client(base_url=url, timeout=30) as own:
                assert infer(own, tensor()).status_code == 200
        with httpx.Client(base_url=url, timeout=30) as own:
            body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 1]}]}
            assert own.post("/v2/models/log/infer", json=body).json()["outputs"][0]["data"] == [0, 0]
            answer = own.post("/predict", json=[[0] * 64])
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
            assert "this server has several models, 'digits', 'log'; name one" in answer.json()["error"]
            assert "X-Model-Version" not in own.get("/v2").headers
            counted = server.wait_for(lambda: _counted(own, 60))
            assert counted == {("digits", "3"): 60, ("log", "1"): 1}


def _counted(client: httpx.Client, least: int) -> dict[tuple[str, str], int] | None:
    entries = client.get("/v2/models/stats").json()["model_stats"]
    found = {(entry["name"], entry["version"]): entry["inference_count"] for entry in entries}
    return found if found["digits", "3"] >= least and found["log", "1"] else None
