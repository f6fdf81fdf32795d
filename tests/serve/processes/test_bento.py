"""What is relied on of BentoML, and what stands before it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import bentoml
import httpx
import pytest
from bentoml._internal.utils import circus

from lifecycle.serve.processes.bento import Front, FrontedService
from lifecycle.serve.service import LifecycleService, service
from tests.serve.servers import Server


class Recording:
    """An ASGI application that notes what reaches it, and lives as BentoML's does."""

    def __init__(self, events: list[str], name: str) -> None:
        self.events = events
        self.name = name

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.events.append(f"{self.name} got {scope['type']}")
        if scope["type"] == "lifespan":
            for phase in ("startup", "shutdown"):
                assert (await receive())["type"] == f"lifespan.{phase}"
                await send({"type": f"lifespan.{phase}.complete"})


def live(front: Front, events: list[str]) -> None:
    """Start and stop it, noting what it answers."""

    async def run() -> None:
        phases = iter(["lifespan.startup", "lifespan.shutdown"])

        async def receive() -> dict[str, str]:
            return {"type": next(phases)}

        async def send(message: dict[str, str]) -> None:
            events.append(message["type"])

        await front({"type": "lifespan", "state": {}}, receive, send)  # type: ignore[arg-type]

    asyncio.run(run())


def front(events: list[str], *, failing: bool = False) -> Front:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        if failing:
            raise RuntimeError("no model")
        events.append("opened")
        yield
        events.append("closed")

    return Front(Recording(events, "ours"), lifespan, Recording(events, "BentoML"))


def test_our_lifespan_is_around_that_of_bentoml_and_over_before_the_process_may_end() -> None:
    events: list[str] = []
    live(front(events), events)
    assert events == [
        "opened", "BentoML got lifespan", "lifespan.startup.complete", "closed", "lifespan.shutdown.complete",
    ]  # fmt: skip


def test_a_failure_to_open_ends_the_worker_instead_of_serving_nothing() -> None:
    events: list[str] = []
    live(front(events, failing=True), events)
    assert events == ["lifespan.startup.failed"]


@pytest.mark.parametrize(("kind", "who"), [("http", "ours"), ("websocket", "BentoML")])
def test_http_never_reaches_bentoml(kind: str, who: str) -> None:
    events: list[str] = []
    asyncio.run(front(events)({"type": kind}, None, None))  # type: ignore[arg-type]
    assert events == [f"{who} got {kind}"]


def test_bentoml_still_has_the_seam() -> None:
    """A worker calls ``service.to_asgi(is_main=…)`` of the class that ``service_class`` named."""
    parameters = inspect.signature(bentoml.Service.to_asgi).parameters
    assert list(parameters) == ["self", "is_main"]
    assert parameters["is_main"].default is True
    assert "service_class" in inspect.signature(bentoml.service).parameters
    assert type(service) is FrontedService
    assert service.inner is LifecycleService


def test_a_live_worker_went_through_the_seam(client: httpx.Client, server: Server) -> None:
    """BentoML would answer this path with its schema, name itself in a header, and log the request."""
    response = client.get("/schema.json")
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"
    assert "server" not in response.headers
    assert "x-bentoml-request-id" not in response.headers
    assert "/schema.json" not in server.stderr


def test_bentomls_process_manager_takes_how_often_to_look_for_dead_workers() -> None:
    """`replace_promptly` puts a class in place of the one that `create_standalone_arbiter` looks up."""
    source = inspect.getsource(circus.create_standalone_arbiter)
    assert "ThreadedArbiter if threaded else Arbiter" in source
    assert 'check_delay=kwargs.pop("check_delay"' in source
