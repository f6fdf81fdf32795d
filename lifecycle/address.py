"""The address at which MLflow looks things up itself: that of the process, lent to it for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient


@contextmanager
def process_address(client: MlflowClient) -> Iterator[None]:
    """Lend the client's address to the process: MLflow's own look-ups of ``models:/`` go there, not to it."""
    import mlflow

    names = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
    before = {name: os.environ.get(name) for name in names}
    told = mlflow.is_tracking_uri_set()  # type: ignore[no-untyped-call]
    tracking = mlflow.get_tracking_uri() if told else None
    registry = mlflow.get_registry_uri() if mlflow.get_registry_uri() != mlflow.get_tracking_uri() else ""
    mlflow.set_tracking_uri(client.tracking_uri)
    mlflow.set_registry_uri(before["MLFLOW_REGISTRY_URI"] or client.tracking_uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(tracking)  # type: ignore[arg-type]  # None takes it back
        mlflow.set_registry_uri(registry)
        # MLflow writes the address to the environment too, where the next project would find it.
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
