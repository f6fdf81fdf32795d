from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import UsageError
from lifecycle.serve.batching.options import Batching
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
from tests.serve.held import Recorder, recorded


@pytest.fixture
def held(digits: Artifact) -> tuple[Endpoint, Recorder]:
    """One place to wait."""
    return recorded(digits, Batching(queue_limit=1, deadline_s=60), name="digits", version="3")


@pytest.fixture
def endpoint(held: tuple[Endpoint, Recorder]) -> Endpoint:
    return held[0]


@pytest.fixture
def plane(endpoint: Endpoint) -> Iterator[DataPlane]:
    plane = DataPlane()
    plane.put(endpoint)
    yield plane
    plane.close()


async def answer(
    plane: DataPlane, endpoint: Endpoint, arrays: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    return await plane.run(endpoint, arrays)


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
    other, _ = recorded(digits, name="other")
    assert plane.put(other) is None
    assert plane.find("other") is other
    with pytest.raises(RequestError, match="several models, 'digits', 'other'; name one"):
        plane.find()


def test_a_new_version_answers_from_the_moment_it_is_put_and_the_old_one_finishes(
    plane: DataPlane, held: tuple[Endpoint, Recorder], digits: Artifact
) -> None:
    endpoint, recorder = held

    async def swap() -> None:
        with recorder:
            asked = asyncio.ensure_future(plane.run(endpoint, images()))
            await asyncio.sleep(0)
            assert plane.put(recorded(digits, name="digits", version="4")[0]) is endpoint
            assert plane.find("digits").version == "4"
            retired = asyncio.create_task(plane.retire(endpoint))
            await asyncio.sleep(0)
            assert not retired.done()
        await retired
        assert asked.done() and (await asked)["logits"].shape == (1, 10)
        with pytest.raises(NotReadyError, match="no longer served"):
            await plane.run(endpoint, images())

    asyncio.run(swap())


def test_wrong_arrays_never_wait(plane: DataPlane, held: tuple[Endpoint, Recorder]) -> None:
    endpoint, recorder = held
    wrong = {"image": np.zeros((1, 1, 8, 9), np.uint8)}
    with recorder, pytest.raises(UsageError, match=r"expected shape \[batch, 1, 8, 8\], got \[1, 1, 8, 9\]"):
        plane.run(endpoint, wrong)
    assert recorder.sizes == []


def test_requests_beyond_the_limit_are_refused_and_the_others_answered(
    plane: DataPlane, held: tuple[Endpoint, Recorder]
) -> None:
    endpoint, recorder = held

    async def flood() -> list[dict[str, np.ndarray] | BaseException]:
        with recorder:
            tasks = [asyncio.create_task(answer(plane, endpoint, images())) for _ in range(2)]
            for _ in range(3):
                await asyncio.sleep(0)
            tasks += [asyncio.create_task(answer(plane, endpoint, images())) for _ in range(3)]
            await asyncio.sleep(0)
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = asyncio.run(flood())
    assert [type(one) for one in answers].count(OverloadedError) >= 1
    assert asyncio.run(answer(plane, endpoint, images(2)))["logits"].shape == (2, 10)


def test_values_that_the_network_cannot_take_are_the_requests_failure(bundle_path: Path) -> None:
    lookup_bundle(bundle_path)
    endpoint = open_endpoint(bundle_path, name="lookup", version="1", threads=1)
    plane = DataPlane()
    plane.put(endpoint)
    with pytest.raises(ModelFailedError, match="out of data bounds"):
        asyncio.run(answer(plane, endpoint, {"ids": np.array([[0, 5]])}))
    swapped = np.array([[1]], ">i8")  # as a .npy file may hold it
    assert asyncio.run(answer(plane, endpoint, {"ids": swapped}))["rows"].tolist() == [[[3, 4, 5]]]
    plane.close()
