"""A client library of the protocol that is not ours, as it is, against a live server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.serve.asking import IMAGES
from tests.serve.bundles import expected_logits
from tests.serve.servers import Server


@pytest.fixture(scope="module")
def address(server: Server) -> str:
    return server.url().removeprefix("http://")


@pytest.fixture(scope="module")
def asking(address: str) -> Iterator[triton.InferenceServerClient]:
    client = triton.InferenceServerClient(address, concurrency=4)
    yield client
    client.close()


def image(library: Any, *, binary: bool = True) -> Any:
    tensor = library.InferInput("image", list(IMAGES.shape), "UINT8")
    tensor.set_data_from_numpy(IMAGES, binary_data=binary)
    return tensor


def check(result: Any, name: str = "logits") -> None:
    np.testing.assert_allclose(result.as_numpy(name), expected_logits(IMAGES), rtol=1e-4, atol=1e-5)


def test_it_finds_the_server_and_the_model(asking: triton.InferenceServerClient) -> None:
    assert asking.is_server_live() and asking.is_server_ready()
    assert asking.is_model_ready("digits") and asking.is_model_ready("digits", "3")
    assert not asking.is_model_ready("other")
    assert asking.get_server_metadata()["extensions"] == ["binary_tensor_data", "statistics"]
    metadata = asking.get_model_metadata("digits")
    assert metadata["versions"] == ["3"]
    assert metadata["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 1, 8, 8]}]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_it_infers(
    asking: triton.InferenceServerClient, binary_in: bool, binary_out: bool, compression: str | None
) -> None:
    wanted = triton.InferRequestedOutput("logits", binary_data=binary_out)
    result = asking.infer(
        "digits",
        [image(triton, binary=binary_in)],
        outputs=[wanted],
        request_id="9",
        model_version="3",
        timeout=10_000_000,
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    check(result)
    assert (result.get_response()["id"], result.get_response()["model_version"]) == ("9", "3")
    assert result.as_numpy("probabilities") is None


def test_it_gets_all_outputs_as_bytes_when_it_names_none(asking: triton.InferenceServerClient) -> None:
    result = asking.infer("digits", [image(triton)])
    check(result)
    assert result.as_numpy("probabilities").shape == (3, 10)
    assert "binary_data_size" in result.get_output("logits")["parameters"]


def test_it_asks_without_waiting(asking: triton.InferenceServerClient) -> None:
    pending = [asking.async_infer("digits", [image(triton)]) for _ in range(20)]
    for one in pending:
        check(one.get_result())


def test_it_counts(asking: triton.InferenceServerClient) -> None:
    def counted() -> Any:
        (entry,) = asking.get_inference_statistics("digits", "3")["model_stats"]
        return entry

    before = counted()
    for _ in range(5):
        asking.infer("digits", [image(triton)])
    after = counted()
    assert (after["name"], after["version"]) == ("digits", "3")
    assert after["inference_count"] - before["inference_count"] == 15
    assert after["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"] == 5
    assert after["inference_stats"]["compute_infer"]["ns"] > before["inference_stats"]["compute_infer"]["ns"]
    assert sum(one["compute_infer"]["count"] for one in after["batch_stats"]) == after["execution_count"]
    assert asking.get_inference_statistics()["model_stats"][0]["name"] == "digits"


@pytest.mark.parametrize(
    ("model", "shape", "datatype", "status", "text"),
    [
        ("other", (3, 1, 8, 8), "UINT8", "404", "no model 'other' here; this server has 'digits'"),
        ("digits", (3, 8, 8), "UINT8", "400", "expected shape [batch, 1, 8, 8], got 3 axes: [3, 8, 8]"),
        ("digits", (3, 1, 8, 8), "INT8", "400", "input 'image': expected datatype UINT8, got 'INT8'"),
    ],
)
def test_it_raises_what_the_server_says(
    asking: triton.InferenceServerClient,
    model: str,
    shape: tuple[int, ...],
    datatype: str,
    status: str,
    text: str,
) -> None:
    tensor = triton.InferInput("image", list(shape), datatype)
    tensor.set_data_from_numpy(np.zeros(shape, datatype.lower()))
    with pytest.raises(InferenceServerException) as caught:
        asking.infer(model, [tensor])
    assert caught.value.status() == status
    assert text in caught.value.message()


def test_its_asynchronous_sister_does_the_same(address: str) -> None:
    async def ask() -> None:
        async with triton_aio.InferenceServerClient(address) as client:
            assert await client.is_server_ready() and await client.is_model_ready("digits", "3")
            assert (await client.get_model_metadata("digits"))["name"] == "digits"
            inputs = [image(triton_aio), image(triton_aio, binary=False)]
            results = await asyncio.gather(*(client.infer("digits", [inputs[at % 2]]) for at in range(20)))
            for result in results:
                check(result)
            folded = await client.infer(
                "digits", inputs[:1],
                request_compression_algorithm="gzip", response_compression_algorithm="deflate",
            )  # fmt: skip
            check(folded)
            stats = await client.get_inference_statistics("digits")
            assert stats["model_stats"][0]["inference_count"] >= 63
            with pytest.raises(InferenceServerException, match="no version '9' of model 'digits' here"):
                await client.infer("digits", inputs[:1], model_version="9")

    asyncio.run(ask())
