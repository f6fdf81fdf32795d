from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lifecycle.core.artifact import Artifact
from lifecycle.export.runtime import Model
from lifecycle.serve.batching.batch import Computed
from lifecycle.serve.batching.batcher import Batcher
from lifecycle.serve.batching.options import Batching
from lifecycle.serve.endpoint import open_endpoint
from lifecycle.serve.errors import GoneError, ModelFailedError, NotReadyError, OverloadedError
from tests.serve.bundles import expected_logits, identity_bundle, lookup_bundle, mixing_bundle
from tests.serve.held import Recorder, recorded

LONG = Batching(batch_size=8, deadline_s=60)


def images(count: int = 1, seed: int = 0) -> dict[str, np.ndarray]:
    return {"image": np.random.default_rng(seed).integers(0, 17, (count, 1, 8, 8), np.uint8)}


async def together(
    batcher: Batcher, recorder: Recorder, requests: Sequence[dict[str, np.ndarray]], **options: Any
) -> list[Any]:
    """Answers to requests that all wait while the first is computed."""
    with recorder:
        tasks = []
        for request in requests:
            tasks.append(asyncio.create_task(batcher.run(request, **options)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_what_waits_while_another_is_computed_is_computed_together(digits: Artifact) -> None:
    endpoint, recorder = recorded(digits, LONG)
    requests = [images(seed=seed) for seed in range(12)]
    answers = asyncio.run(together(endpoint.batcher, recorder, requests))
    assert recorder.sizes == [1, 8, 3]
    for request, answer in zip(requests, answers, strict=True):
        np.testing.assert_allclose(answer["logits"], expected_logits(request["image"]), rtol=1e-4, atol=1e-5)


def test_a_batch_has_no_more_samples_than_it_may_and_a_larger_request_goes_alone(digits: Artifact) -> None:
    endpoint, recorder = recorded(digits, LONG)
    counts = [1, 5, 5, 3, 20, 1]
    answers = asyncio.run(together(endpoint.batcher, recorder, [images(count) for count in counts]))
    assert [len(answer["logits"]) for answer in answers] == counts
    assert recorder.sizes == [1, 8, 6, 20]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_an_answer_is_the_same_in_company_as_alone(digits: Artifact, counts: list[int]) -> None:
    endpoint, recorder = recorded(digits, LONG)
    requests = [images(count, seed) for seed, count in enumerate(counts)]
    answers = asyncio.run(together(endpoint.batcher, recorder, requests))
    for request, answer in zip(requests, answers, strict=True):
        alone = endpoint.model.run(request)
        for name in ("logits", "probabilities"):
            np.testing.assert_allclose(answer[name], alone[name], rtol=1e-5, atol=1e-6)


def test_requests_of_other_lengths_are_not_put_together_and_keep_their_order(bundle_path: Path) -> None:
    endpoint, recorder = recorded(lookup_bundle(bundle_path), LONG)
    shapes = [(1, 2), (1, 3), (1, 2), (2, 3), (1, 2)]
    answers = asyncio.run(together(endpoint.batcher, recorder, [{"ids": np.ones(s, int)} for s in shapes]))
    assert [answer["rows"].shape for answer in answers] == [(*shape, 3) for shape in shapes]
    assert recorder.sizes == [1, 3, 2]  # the first; the three samples of length 3; the two of length 2


def test_a_request_that_the_network_cannot_compute_fails_alone(bundle_path: Path) -> None:
    endpoint, recorder = recorded(lookup_bundle(bundle_path), LONG)
    requests = [{"ids": np.array([[value]])} for value in (0, 1, 5, 2)]
    answers = asyncio.run(together(endpoint.batcher, recorder, requests))
    assert [type(answer) for answer in answers] == [dict, dict, ModelFailedError, dict]
    assert [answers[at]["rows"][0, 0, 0] for at in (0, 1, 3)] == [0, 3, 6]
    assert "out of data bounds" in str(answers[2])
    assert recorder.sizes == [1, 3, 1, 1, 1]  # the batch, and then each of it


def test_a_network_that_mixes_its_samples_computes_each_request_alone(bundle_path: Path) -> None:
    """Each answer would depend on who else asks."""
    bundle = mixing_bundle(bundle_path)
    assert open_endpoint(bundle.path, name="m", version="1", threads=1).batcher.batch_size == 1
    endpoint, recorder = recorded(bundle, LONG)
    requests = [{"x": np.full((1, 2), value, np.float32)} for value in (1, 2, 3)]
    answers = asyncio.run(together(endpoint.batcher, recorder, requests))
    assert recorder.sizes == [1, 1, 1]
    assert [answer["y"].tolist() for answer in answers] == [[[0, 0]]] * 3


def test_where_company_saves_nothing_each_is_computed_alone(digits: Artifact) -> None:
    endpoint, recorder = recorded(digits, LONG)
    for size in (1, 8) * 20:
        endpoint.batcher.cost.observe(size, 0.01 * size)
    asyncio.run(together(endpoint.batcher, recorder, [images()] * 4))
    assert recorder.sizes == [1, 1, 1, 1]


def test_what_comes_in_one_turn_of_the_loop_is_a_batch_when_the_network_is_quick(digits: Artifact) -> None:
    endpoint, recorder = recorded(digits, quick=True)

    async def burst() -> None:
        await asyncio.gather(*(endpoint.batcher.run(images(seed=seed)) for seed in range(40)))

    asyncio.run(burst())
    assert recorder.sizes == [1, 32, 7]
    assert set(recorder.threads) == {threading.get_ident()}


def test_a_single_request_is_computed_at_once_without_another_turn(digits: Artifact) -> None:
    endpoint, recorder = recorded(digits, quick=True)

    async def once() -> bool:
        turns: list[int] = []
        asyncio.get_running_loop().call_soon(turns.append, 1)
        await endpoint.batcher.run(images())
        return not turns

    assert asyncio.run(once())
    assert recorder.threads == [threading.get_ident()]


def test_what_is_not_quick_leaves_the_event_loop_free(digits: Artifact) -> None:
    endpoint, recorder = recorded(digits)

    async def ask() -> None:
        with recorder:
            task = asyncio.create_task(endpoint.batcher.run(images()))
            for _ in range(10):
                await asyncio.sleep(0)
            assert not task.done() and endpoint.batcher.accepted == 1
        await task

    asyncio.run(ask())
    assert recorder.threads[0] != threading.get_ident()
    assert endpoint.batcher.accepted == 0


@pytest.mark.parametrize("how", ["cancelled", "gone", "late"])
def test_what_nobody_waits_for_any_more_is_not_computed(digits: Artifact, how: str) -> None:
    endpoint, recorder = recorded(digits, LONG)

    async def ask() -> BaseException:
        left = asyncio.Event()
        with recorder:
            first = asyncio.create_task(endpoint.batcher.run(images()))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            options = {"gone": left.wait} if how == "gone" else {"deadline_s": 0.01} if how == "late" else {}
            second = asyncio.create_task(endpoint.batcher.run(images(3), **options))  # type: ignore[arg-type]
            await asyncio.sleep(0)
            if how == "cancelled":
                second.cancel()
            left.set()
            await asyncio.sleep(0.05)
        await first
        (error,) = await asyncio.gather(second, return_exceptions=True)
        assert isinstance(error, BaseException)
        return error

    error = asyncio.run(ask())
    assert recorder.sizes == [1]
    expected = {"cancelled": asyncio.CancelledError, "gone": GoneError, "late": OverloadedError}[how]
    assert type(error) is expected
    if how == "late":
        assert str(error).startswith("its turn did not come before its deadline; it was not computed")
    stats: Any = endpoint.batcher.statistics.to_json()
    assert stats["inference_stats"]["fail"]["count"] == 1


def test_a_full_queue_refuses_at_once(digits: Artifact) -> None:
    endpoint, recorder = recorded(digits, Batching(queue_limit=2, deadline_s=60))
    answers = asyncio.run(together(endpoint.batcher, recorder, [images()] * 5))
    assert [type(answer) for answer in answers] == [dict, dict, dict, OverloadedError, OverloadedError]
    assert str(answers[3]) == "2 requests wait already, which is the limit; try again later"


def test_a_wait_beyond_the_deadline_is_refused_at_once_with_a_time_to_come_back(digits: Artifact) -> None:
    """Each run is known to take two seconds: the third in line would wait for four."""
    endpoint, recorder = recorded(digits, Batching(batch_size=1, deadline_s=3))
    for _ in range(2):
        endpoint.batcher.cost.observe(1, 2.0)
    answers = asyncio.run(together(endpoint.batcher, recorder, [images()] * 3, deadline_s=10))
    assert [type(answer) for answer in answers] == [dict, dict, OverloadedError]
    error = answers[2]
    assert str(error).endswith("and this one may wait 3000 ms; try again later")
    assert error.retry_after_s == 4


def test_batches_are_told_of_and_counted(digits: Artifact) -> None:
    told: list[tuple[int, int]] = []

    class Notes:
        def computed(self, batch: Computed, queue_s: Sequence[float]) -> None:
            assert all(waited >= 0 for waited in queue_s)
            told.append((batch.samples, len(queue_s)))

        def refused(self) -> None: ...

    opened = open_endpoint(digits.path, name="m", version="1", threads=1)
    recorder = Recorder(opened.model)
    model = Model(signature=opened.signature, format="onnx", runner=recorder)
    batcher = Batcher(model, LONG, joinable=True, listener=Notes())
    asyncio.run(together(batcher, recorder, [images(2) for _ in range(4)]))
    assert told == [(2, 1), (6, 3)]
    stats: Any = batcher.statistics.to_json()
    assert (stats["inference_count"], stats["execution_count"]) == (8, 2)
    assert [batch["batch_size"] for batch in stats["batch_stats"]] == [2, 6]
    counts = {kind: found["count"] for kind, found in stats["inference_stats"].items()}
    assert counts == {
        "success": 4, "fail": 0, "queue": 4, "compute_input": 4, "compute_infer": 4, "compute_output": 4,
        "cache_hit": 0, "cache_miss": 0,
    }  # fmt: skip
    assert stats["inference_stats"]["queue"]["ns"] > 0
    assert stats["last_inference"] > 1.7e12


def test_a_bug_of_the_runtime_is_told_to_its_request_and_the_queue_goes_on(digits: Artifact) -> None:
    endpoint, recorder = recorded(digits, LONG)
    recorder.inner = Model(signature=endpoint.signature, format="onnx", runner=lambda arrays: [])
    first, second = asyncio.run(together(endpoint.batcher, recorder, [images()] * 2))
    assert type(first) is type(second) is ModelFailedError
    recorder.inner = open_endpoint(digits.path, name="m", version="1", threads=1).model
    assert asyncio.run(endpoint.batcher.run(images()))["logits"].shape == (1, 10)


def test_closing_answers_what_runs_and_tells_what_waits(digits: Artifact) -> None:
    endpoint, recorder = recorded(digits, LONG)

    async def stop() -> list[Any]:
        with recorder:
            tasks = [asyncio.create_task(endpoint.batcher.run(images())) for _ in range(2)]
            await asyncio.sleep(0)
            tasks.append(asyncio.create_task(endpoint.batcher.run(images())))
            await asyncio.sleep(0.01)
            threading.Timer(0.05, recorder.gate.set).start()
            endpoint.batcher.close()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = asyncio.run(stop())
    assert [type(answer) for answer in answers] == [dict, dict, NotReadyError]
    with pytest.raises(NotReadyError, match="no longer served"):
        asyncio.run(endpoint.batcher.run(images()))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "float64", "object"])
def test_every_data_type_is_put_together(bundle_path: Path, dtype: str) -> None:
    endpoint, recorder = recorded(identity_bundle(bundle_path, dtype), LONG)
    values: list[Any] = [["a", "é"], ["", "x"]] if dtype == "object" else [[0, 1], [1, 1]]
    requests = [{"x": np.array([value], dtype)} for value in (*values, values[0])]
    answers = asyncio.run(together(endpoint.batcher, recorder, requests))
    assert [answer["y"].tolist() for answer in answers] == [request["x"].tolist() for request in requests]
    assert recorder.sizes == [1, 2]
