from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import UsageError
from lifecycle.serve.batching import Batching
from lifecycle.serve.dataplane import DataPlane
from lifecycle.serve.endpoint import Endpoint, open_endpoint
from lifecycle.serve.errors import (
    ModelFailedError,
    NotReadyError,
    OverloadedError,
    RequestError,
    UnknownError,
)
from tests.serve.bundles import lookup_bundle


@pytest.fixture
def endpoint(digits: Artifact) -> Endpoint:
    """One place to wait."""
    return opened(digits)


def opened(bundle: Artifact, name: str = "digits", version: str = "3") -> Endpoint:
    batching = Batching(queue_limit=1)
    return open_endpoint(bundle.path, name=name, version=version, threads=1, batching=batching)


@pytest.fixture
def plane(endpoint: Endpoint) -> Iterator[DataPlane]:
    plane = DataPlane()
    plane.put(endpoint)
    yield plane
    plane.close()


def images(count: int = 1) -> dict[str, np.ndarray]:
    return {"image": np.zeros((count, 1, 8, 8), np.uint8)}


def test_a_model_is_found_by_name_by_version_or_by_neither(plane: DataPlane, endpoint: Endpoint) -> None:
    assert plane.find() is plane.find("digits") is plane.find("digits", "3") is endpoint


def test_what_is_not_here_is_said_with_what_is(plane: DataPlane) -> None:
    with pytest.raises(UnknownError, match="no model 'digit' here; this server has 'digits'"):
        plane.find("digit")
    with pytest.raises(UnknownError, match="no version '4' of model 'digits' here; this server has '3'"):
        plane.find("digits", "4")


def test_nothing_is_found_before_a_model_is_open() -> None:
    with pytest.raises(NotReadyError, match="no model is open yet"):
        DataPlane().find()


def test_of_several_models_one_has_to_be_named(plane: DataPlane, digits: Artifact) -> None:
    other = opened(digits, "other")
    assert plane.put(other) is None
    assert plane.find("other") is other
    with pytest.raises(RequestError, match="several models, 'digits', 'other'; name one"):
        plane.find()


def test_a_new_version_answers_from_the_moment_it_is_put_and_the_old_one_finishes(
    plane: DataPlane, endpoint: Endpoint, digits: Artifact
) -> None:
    async def swap() -> None:
        with held(endpoint):
            asked = asyncio.create_task(plane.run(endpoint, images()))
            await asyncio.sleep(0)
            assert plane.put(opened(digits, version="4")) is endpoint
            assert plane.find("digits").version == "4"
            retired = asyncio.create_task(plane.retire(endpoint))
            await asyncio.sleep(0)
            assert not retired.done()
        await retired
        assert asked.done() and (await asked)["logits"].shape == (1, 10)
        with pytest.raises(NotReadyError, match="no longer served"):
            await plane.run(endpoint, images())

    asyncio.run(swap())


def test_wrong_arrays_do_not_wait_for_a_thread(plane: DataPlane, endpoint: Endpoint) -> None:
    wrong = {"image": np.zeros((1, 1, 8, 9), np.uint8)}
    with (
        held(endpoint),
        pytest.raises(UsageError, match=r"expected shape \[batch, 1, 8, 8\], got \[1, 1, 8, 9\]"),
    ):
        asyncio.run(asyncio.wait_for(plane.run(endpoint, wrong), 10))


def test_requests_beyond_the_limit_are_refused_and_the_others_answered(
    plane: DataPlane, endpoint: Endpoint
) -> None:
    async def flood() -> list[dict[str, np.ndarray] | BaseException]:
        with held(endpoint):
            tasks = [asyncio.create_task(plane.run(endpoint, images())) for _ in range(5)]
            await asyncio.sleep(0)
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = asyncio.run(flood())
    assert [type(answer) for answer in answers] == [dict, dict, *3 * [OverloadedError]]
    assert asyncio.run(plane.run(endpoint, images(2)))["logits"].shape == (2, 10)


def test_values_that_the_network_cannot_take_are_the_requests_failure(bundle_path: Path) -> None:
    lookup_bundle(bundle_path)
    endpoint = open_endpoint(bundle_path, name="lookup", version="1", threads=1)
    plane = DataPlane()
    plane.put(endpoint)
    with pytest.raises(ModelFailedError, match="out of data bounds"):
        asyncio.run(plane.run(endpoint, {"ids": np.array([[0, 5]])}))
    assert asyncio.run(plane.run(endpoint, {"ids": np.array([[1]])}))["rows"].tolist() == [[[3, 4, 5]]]
    plane.close()


class held:  # noqa: N801  (reads as a statement)
    """Keeps the only thread of an endpoint busy."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._release = threading.Event()
        self._task = endpoint.batcher.executor.submit(self._release.wait, 60)

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None:
        self._release.set()
        assert self._task.result()
