"""Taking back a deletion in MLflow: needed files of deleted runs and logged models would go with `mlflow gc`.

MLflow restores experiments and runs, but has no call that restores a logged model. Its database does: the
column that `MlflowClient.delete_logged_model` sets is set back here, and nowhere else
(`tests/collection/test_collect.py` holds it against the real ``mlflow gc``). A server does not let us.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lifecycle.core.errors import LifecycleError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel


def find_model(client: MlflowClient, model_id: str) -> LoggedModel | None:
    """A logged model; None where it is marked as deleted or gone, which MLflow does not tell apart."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_logged_model(model_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def revive_run(client: MlflowClient, run_id: str) -> None:
    """Restore a deleted run, and its experiment if that was deleted too."""
    run = client.get_run(run_id)
    if client.get_experiment(run.info.experiment_id).lifecycle_stage == "deleted":
        client.restore_experiment(run.info.experiment_id)
    if client.get_run(run_id).info.lifecycle_stage == "deleted":
        client.restore_run(run_id)


def can_revive(client: MlflowClient) -> bool:
    """Whether the tracking store is a database that this process opens itself."""
    return "://" in client.tracking_uri and not client.tracking_uri.startswith(("http:", "https:", "file:"))


def revive_model(client: MlflowClient, model_id: str) -> bool:
    """Restore a logged model that is marked as deleted.

    Returns:
        False when it is gone for good.

    Raises:
        LifecycleError: the tracking store is behind a server.
    """
    if not can_revive(client):
        raise LifecycleError(
            f"logged model {model_id} is needed and marked as deleted; the server at {client.tracking_uri} "
            "has no call that restores it",
            hint="Before anyone runs `mlflow gc`: run `lifecycle gc --yes` with MLFLOW_TRACKING_URI set to "
            "the server's database.",
        )
    import sqlalchemy

    engine = sqlalchemy.create_engine(client.tracking_uri)
    try:
        with engine.begin() as connection:
            done = connection.execute(
                sqlalchemy.text(
                    "UPDATE logged_models SET lifecycle_stage = 'active', last_updated_timestamp_ms = :now "
                    "WHERE model_id = :id AND lifecycle_stage = 'deleted'"
                ),
                {"id": model_id, "now": int(time.time() * 1000)},
            )
            return done.rowcount == 1
    finally:
        engine.dispose()
