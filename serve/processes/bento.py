"""The one place that knows BentoML's inside: an app of ours stands before BentoML's own.

BentoML starts the workers, watches and replaces them, and hands each a listening socket. A worker asks
its service for an ASGI application (`bentoml.Service.to_asgi`); `FrontedService` gives one that answers
HTTP itself, so that BentoML's middleware (tracing, metrics, access log, a timer to each request, which
together cost about 1 ms a request) never sees it, and that leaves the lifespan to BentoML's application,
with ours around it. ``tests/serve/test_bento.py`` holds BentoML to what is relied on here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol, cast

with warnings.catch_warnings():  # what BentoML's own imports deprecate is not ours to mend
    warnings.simplefilter("ignore", DeprecationWarning)
    from bentoml import Service, service

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Fronted(Protocol):
    """What the class behind a `FrontedService` offers."""

    @staticmethod
    def front() -> tuple[ASGIApp, Callable[[], AbstractAsyncContextManager[None]]]:
        """The application that answers HTTP, and what is open for as long as it does."""


class Front:
    """HTTP goes to one application; lifespan, and whatever else there is, to the one behind it.

    Args:
        app: Answers requests.
        lifespan: Entered before the application behind starts, left after it has stopped. When entering
            fails, the worker is told that starting failed and ends.
        behind: BentoML's application.
    """

    def __init__(
        self, app: ASGIApp, lifespan: Callable[[], AbstractAsyncContextManager[None]], behind: ASGIApp
    ) -> None:
        self._app = app
        self._lifespan = lifespan
        self._behind = behind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection's event stream."""
        if scope["type"] == "http":
            await self._app(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            await self._behind(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._lifespan())
            except Exception:
                # Raised, it would be taken for an application without a lifespan, and the worker would go on.
                await receive()
                await send({"type": "lifespan.startup.failed", "message": ""})
                return

            async def send_after_closing(message: Message) -> None:
                if message["type"].startswith("lifespan.shutdown"):  # the process may end at this word
                    await stack.aclose()
                await send(message)

            await self._behind(scope, receive, send_after_closing)


class FrontedService(Service[Fronted]):  # type: ignore[misc]  # BentoML does not type it
    """A BentoML service whose HTTP requests are answered by the application that its class names."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """What a worker runs."""
        app, lifespan = cast(Fronted, self.inner).front()
        return Front(app, lifespan, super().to_asgi(is_main=is_main))


def replace_promptly(delay_s: float = 1.0) -> None:
    """Have BentoML's process manager look for dead workers that often, and replace them.

    BentoML has it look every 10 seconds, and does not offer to change that: with one worker nobody is
    answered for so long. To be called in the process that is to run ``bentoml serve``, before it does.
    """
    from bentoml._internal.utils import circus

    class PromptArbiter(circus.Arbiter):
        def __init__(self, *args: Any, check_delay: float, **options: Any) -> None:
            super().__init__(*args, check_delay=min(check_delay, delay_s), **options)

    circus.Arbiter = PromptArbiter  # type: ignore[misc]


def fronted_service(inner: type[Fronted], *, name: str, workers: int) -> FrontedService:
    """A service of so many workers, to be assigned at module level and served by its import path.

    Metrics and tracing are BentoML's middleware: off, as nothing would ever reach them.
    """
    made: FrontedService = service(
        name=name,
        service_class=FrontedService,
        workers=workers,
        metrics={"enabled": False},
        tracing={"excluded_urls": ".*"},
    )(inner)
    return made
