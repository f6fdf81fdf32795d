"""All followed models of one worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lifecycle.core.errors import ArtifactError, LifecycleError
from lifecycle.serve.endpoint import Endpoint
from lifecycle.serve.following.followed import Target, path_of, read
from lifecycle.serve.following.swapper import Outcome, Plane, Swapper
from lifecycle.serve.observability.metrics import Metrics
from lifecycle.serve.settings import ServedModel

LOOK_S = 0.2
"""Between two looks at the follower's files, which cost a few microseconds each."""

log = logging.getLogger("lifecycle.serve")

Open = Callable[[ServedModel], Endpoint]


class Following:
    """Looks at what the follower says, for as long as the worker serves.

    Args:
        folder: Of the follower's files.
        models: All of the server, in order; those without an alias are left alone.
        open_model: Opens and warms up.
        metrics: Where swaps are counted.
    """

    def __init__(
        self, folder: Path, models: tuple[ServedModel, ...], open_model: Open, metrics: Metrics
    ) -> None:
        self._folder = folder
        self._models = models
        self._open_model = open_model
        self._metrics = metrics
        self._swappers: dict[str, Swapper] = {}

    def open_all(self) -> list[Endpoint]:
        """What is to be served now, each opened.

        Raises:
            LifecycleError: one cannot be served.
        """
        return [self._open_latest(index, model) for index, model in enumerate(self._models)]

    def _open_latest(self, index: int, model: ServedModel) -> Endpoint:
        """A worker that takes the place of another begins with what that one served."""
        try:
            known = read(path_of(self._folder, index))
            if known is not None:
                return self._open_model(_at(model, known.target))
        except LifecycleError as error:
            log.error("%s: %s; going back to version %s", model.name, error.message, model.version)
        return self._open_model(model)

    async def run(self, plane: Plane, opened: list[Endpoint]) -> None:
        """Swap whenever there is something to swap.

        Args:
            plane: Where the models answer.
            opened: From `open_all`.
        """
        for index, (model, endpoint) in enumerate(zip(self._models, opened, strict=True)):
            self._show(endpoint, 1.0)
            if model.follow is not None:
                self._swappers[model.name] = self._swapper(index, model, plane, endpoint)
        while self._swappers:
            for swapper in self._swappers.values():
                try:
                    await swapper.look()
                except Exception:  # nothing in here may end the loop
                    log.exception("looking at a followed model failed")
            await asyncio.sleep(LOOK_S)

    def about(self, name: str) -> dict[str, object] | None:
        """What is known of the alias behind a model; None where none is followed."""
        swapper = self._swappers.get(name)
        return None if swapper is None or swapper.known is None else swapper.known.report()

    def _swapper(self, index: int, model: ServedModel, plane: Plane, endpoint: Endpoint) -> Swapper:
        def report(outcome: Outcome, seconds: float, before: Endpoint | None, now: Endpoint | None) -> None:
            self._metrics.add("lifecycle_model_swaps", (model.name, outcome))
            self._metrics.observe("lifecycle_model_swap_seconds", (model.name,), seconds)
            if before is not None and now is not None:
                self._show(before, 0.0)
                self._show(now, 1.0)

        return Swapper(
            path_of(self._folder, index),
            name=model.name,
            version=endpoint.version,
            plane=plane,
            open_target=lambda target: self._open_target(model, target),
            report=report,
        )

    def _show(self, endpoint: Endpoint, served: float) -> None:
        self._metrics.set("lifecycle_model_info", (endpoint.name, endpoint.version, endpoint.digest), served)

    def _open_target(self, model: ServedModel, target: Target) -> Endpoint:
        endpoint = self._open_model(_at(model, target))
        if endpoint.digest != target.digest:  # replaced since the follower looked at it
            endpoint.batcher.close()
            raise ArtifactError(f"its bundle is {endpoint.digest[:12]}, registered was {target.digest[:12]}")
        return endpoint


def _at(model: ServedModel, target: Target) -> ServedModel:
    return replace(model, version=target.version, bundle=target.bundle)
