from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from lifecycle.core.artifact import Artifact
from lifecycle.serve.batching.options import Batching
from lifecycle.serve.dataplane import DataPlane
from lifecycle.serve.protocol.codec import DATATYPES
from tests.serve.asking import IMAGES, INFER, Local, array, infer, tensor
from tests.serve.bundles import (
    LABELS,
    digits_bundle,
    expected_logits,
    identity_bundle,
    log_bundle,
    lookup_bundle,
    softmax,
    sum_bundle,
)
from tests.serve.held import recorded
from tests.serve.servers import Server


def test_the_server_says_what_it_is(client: httpx.Client) -> None:
    for path in ("/v2", "/v2/"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.json()["name"] == "lifecycle"
        assert answer.json()["extensions"] == ["binary_tensor_data", "statistics"]
        assert isinstance(answer.json()["version"], str)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/livez", {"live": True}),
        ("/readyz", {"ready": True}),
        ("/v2/models/digits/ready", {"name": "digits", "ready": True}),
        ("/v2/models/digits/versions/3/ready", {"name": "digits", "ready": True}),
    ],
)
def test_probes(client: httpx.Client, path: str, content: dict[str, Any]) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()) == (200, content)
    assert client.head(path).status_code == 200


@pytest.mark.parametrize("path", ["/v2/models/digits", "/v2/models/digits/versions/3"])
def test_a_model_says_what_it_takes_and_gives(client: httpx.Client, digits: Artifact, path: str) -> None:
    assert client.get(path).json() == {
        "name": "digits",
        "versions": ["3"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, 1, 8, 8]}],
        "outputs": [
            {"name": "logits", "datatype": "FP32", "shape": [-1, 10]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
        ],
        "parameters": {"digest": digits.digest},
    }


@pytest.mark.parametrize("path", [INFER, "/v2/models/digits/versions/3/infer"])
@pytest.mark.parametrize("nested", [False, True])
def test_inference_gives_what_the_network_computes(
    client: httpx.Client, digits: Artifact, path: str, nested: bool
) -> None:
    data = IMAGES.tolist() if nested else IMAGES.ravel().tolist()
    answer = client.post(path, json={"id": "42", "inputs": [tensor(data=data)]}).json()
    outputs = {output["name"]: array(output) for output in answer.pop("outputs")}
    assert answer == {
        "model_name": "digits",
        "model_version": "3",
        "id": "42",
        "parameters": {"digest": digits.digest},
    }
    assert list(outputs) == ["logits", "probabilities"]
    np.testing.assert_allclose(outputs["logits"], expected_logits(IMAGES), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs["probabilities"], softmax(expected_logits(IMAGES)), rtol=1e-4)


def test_only_what_was_asked_for_is_sent(client: httpx.Client) -> None:
    answer = infer(client, tensor(), outputs=[{"name": "probabilities"}, {"name": "logits"}]).json()
    assert [output["name"] for output in answer["outputs"]] == ["probabilities", "logits"]
    assert "id" not in answer
    answer = infer(client, tensor(), outputs=[{"name": "logits"}]).json()
    assert [output["name"] for output in answer["outputs"]] == ["logits"]


def test_what_the_protocol_lets_clients_add_does_no_harm(client: httpx.Client) -> None:
    answer = infer(client, tensor(parameters={"binary_data_size": 0}), parameters={"priority": 1}, extra=[])
    assert answer.status_code == 200


@pytest.mark.parametrize("wrapped", [False, True])
def test_predict_gives_labels_and_probabilities(
    client: httpx.Client, digits: Artifact, wrapped: bool
) -> None:
    rows = IMAGES.tolist()
    answer = client.post("/predict", json={"rows": rows} if wrapped else rows).json()
    expected = softmax(expected_logits(IMAGES))
    assert len(answer["predictions"]) == 3
    for prediction, probabilities in zip(answer["predictions"], expected, strict=True):
        assert list(prediction["probabilities"]) == list(LABELS)
        np.testing.assert_allclose(list(prediction["probabilities"].values()), probabilities, rtol=1e-4)
        assert prediction["label"] == LABELS[int(probabilities.argmax())]
        assert prediction["probability"] == max(prediction["probabilities"].values())
    assert (answer["model_name"], answer["model_version"], answer["digest"]) == ("digits", "3", digits.digest)
    assert answer["latency_ms"] > 0


@pytest.mark.parametrize("path", ["/v2", "/readyz", "/v2/models/digits", "/nope", "/v2/models/other"])
def test_every_answer_names_the_request_and_the_model(
    client: httpx.Client, digits: Artifact, path: str
) -> None:
    answer = client.get(path, headers={"X-Request-ID": "abc-1"})
    assert answer.headers["X-Request-ID"] == "abc-1"
    assert answer.headers["X-Model-Version"] == "3"
    assert answer.headers["X-Model-Digest"] == digits.digest
    assert answer.headers["Content-Type"] == "application/json"


def test_sixteen_connections_at_once_get_their_own_answers(client: httpx.Client, server: Server) -> None:
    """Each asks with images of its own; every answer belongs to its question, and no descriptor is left."""
    (worker,) = server.workers()
    before = worker.num_fds()

    def ask(seed: int) -> int:
        generator = np.random.default_rng(seed)
        with httpx.Client(base_url=client.base_url, timeout=60) as own:
            for _ in range(20):
                images = generator.integers(0, 17, (1, 1, 8, 8), np.uint8)
                answer = infer(own, tensor(images), outputs=[{"name": "logits"}])
                assert answer.status_code == 200
                logits = array(answer.json()["outputs"][0])
                np.testing.assert_allclose(logits, expected_logits(images), rtol=1e-4, atol=1e-5)
        return 20

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(ask, range(16))) == 320
    server.wait_for(lambda: True if worker.num_fds() <= before else None)


@pytest.fixture
def local() -> Iterator[Local]:
    plane = DataPlane()
    yield Local(plane)
    plane.close()


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("BOOL", [True, False]),
        ("UINT8", [0, 255]),
        ("UINT16", [0, 65_535]),
        ("UINT32", [0, 2**32 - 1]),
        ("UINT64", [0, 2**64 - 1]),
        ("INT8", [-128, 127]),
        ("INT16", [-32_768, 32_767]),
        ("INT32", [-(2**31), 2**31 - 1]),
        ("INT64", [-(2**63), 2**63 - 1]),
        ("FP16", [-65_504, 0.5]),
        ("FP32", [1.5, 3.0000000054977558e38]),
        ("FP64", [0.1, 1e308]),
    ],
)
def test_every_data_type_passes_through_unchanged(
    local: Local, bundle_path: Path, datatype: str, data: list[float]
) -> None:
    local.open(identity_bundle(bundle_path, DATATYPES[datatype]))
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": datatype, "data": data}]}
    answer = local.post("/v2/models/m/infer", body)
    assert answer.status_code == 200, answer.text
    (output,) = answer.json()["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("y", datatype, [1, 2])
    dtype = DATATYPES[datatype]
    assert np.array(output["data"], dtype).tolist() == np.array(data, dtype).tolist()


def test_what_is_not_finite_is_null(local: Local, bundle_path: Path) -> None:
    local.open(log_bundle(bundle_path))
    body = {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 0, -1, 1]}]}
    answer = local.post("/v2/models/m/infer", body)
    assert answer.json()["outputs"][0]["data"] == [0, None, None, 0]
    assert local.post("/predict", [[1, 0]]).json()["predictions"] == [{"y": [0, None]}]


def test_a_model_without_labels_gives_its_outputs_by_row(local: Local, bundle_path: Path) -> None:
    local.open(digits_bundle(bundle_path, labels=()))
    (prediction,) = local.post("/predict", [[0] * 64]).json()["predictions"]
    assert prediction == {"logits": [0] * 10, "probabilities": pytest.approx([0.1] * 10)}


def test_values_that_the_network_cannot_take_are_422(local: Local, bundle_path: Path) -> None:
    local.open(lookup_bundle(bundle_path))
    answer = local.post("/predict", [[0, 5]])
    assert (answer.status_code, answer.json()["code"]) == (422, "model_failed")
    assert "out of data bounds" in answer.json()["error"]
    assert local.post("/predict", [[0, 4]]).json()["predictions"] == [{"rows": [[0, 1, 2], [12, 13, 14]]}]


def test_a_model_of_two_inputs_is_asked_by_the_protocol(local: Local, bundle_path: Path) -> None:
    local.open(sum_bundle(bundle_path))
    answer = local.post("/predict", [[1, 2]])
    assert answer.status_code == 400
    assert "this model has the inputs left, right; use /v2/models/NAME/infer" in answer.json()["error"]
    pair = {"shape": [1, 2], "datatype": "FP32"}
    inputs = [pair | {"name": "right", "data": [10, 20]}, pair | {"name": "left", "data": [1, 2]}]
    answer = local.post("/v2/models/m/infer", {"inputs": inputs})
    assert answer.json()["outputs"][0]["data"] == [11, 22]
    inputs[0] = pair | {"name": "right", "data": [1, 2, 3, 4], "shape": [2, 2]}
    answer = local.post("/v2/models/m/infer", {"inputs": inputs})
    assert answer.status_code == 400
    assert "axis 'batch' is 2 here and 1 in another input" in answer.json()["error"]


def test_before_a_model_is_open_the_server_lives_but_is_not_ready(local: Local) -> None:
    assert local.get("/livez").status_code == 200
    for path in ("/readyz", "/v2/health/ready", "/v2/models/m/ready"):
        answer = local.get(path)
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")


def test_overload_is_429_with_a_time_to_come_back(local: Local, digits: Artifact) -> None:
    """One request is computed and one may wait."""
    endpoint, recorder = recorded(digits, Batching(queue_limit=1, deadline_s=60))
    local.plane.put(endpoint)

    async def three() -> list[httpx.Response]:
        with recorder:
            tasks = []
            for path in ("/predict", "/v2/models/m/infer", "/predict"):
                content: Any = [[0] * 64] if path == "/predict" else {"inputs": [tensor()]}
                tasks.append(asyncio.create_task(local.send("POST", path, json=content)))
                while endpoint.batcher.accepted < min(2, len(tasks)):
                    await asyncio.sleep(0)
            await asyncio.wait(tasks[2:])
        return await asyncio.gather(*tasks)

    first, second, third = asyncio.run(three())
    assert (first.status_code, second.status_code) == (200, 200)
    assert (third.status_code, third.json()["code"]) == (429, "overloaded")
    assert third.headers["Retry-After"] == "1"


@pytest.mark.parametrize("path", ["/predict", "/v2/models/m/infer"])
def test_a_bug_of_ours_is_500_without_its_text(
    local: Local, digits: Artifact, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    """A thread that is gone while a model is open: a state that the server itself never gets into."""
    endpoint, _ = recorded(digits)
    endpoint.batcher._thread.shutdown()
    local.plane.put(endpoint)
    content: Any = [[0] * 64] if path == "/predict" else {"inputs": [tensor()]}
    answer = local.post(path, content)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.json()["error"] == "internal error; the server's log has it under this request_id"
    assert f"request {answer.json()['request_id']}: POST {path} failed" in caplog.text
    assert "cannot schedule new futures" in caplog.text
