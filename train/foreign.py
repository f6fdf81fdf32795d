"""Where a fit of PyTorch Lightning stood when it wrote a checkpoint: one of ours goes on from there."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from lifecycle.train.state import FitState


def lightnings_state(content: Mapping[str, Any], *, automatic: bool = True) -> dict[str, Any] | None:
    """What a checkpoint of ours holds below ``loops``, as far as one of Lightning's tells; or None.

    The fit goes on with the next batch that was not trained on. What Lightning does not keep is not there:
    the half-summed metrics of the epoch, gradients that wait for a step, the order of shuffled data.

    Args:
        content: Of the checkpoint; weights, optimizers, schedules and callbacks are where ours are.
        automatic: Whether the trainer steps the optimizer: then there was one step for each that was logged.
    """
    loop = content.get("loops", {}).get("fit_loop", {})
    batches = loop.get("epoch_loop.batch_progress")
    if not batches:
        return None
    epochs = loop["epoch_progress"]["current"]
    counted = epochs["completed"] == epochs["ready"]  # when the file was written the fit was over, say
    last = bool(batches["is_last_batch"])
    seen = batches["total"]["processed"]
    state = FitState(
        epoch=content["epoch"] + (last and not counted),
        batch=0 if last or counted else batches["current"]["processed"],
        batches_seen=seen,
        global_step=content["global_step"],
        stepped=content["global_step"] if automatic else seen,
    )
    return {
        "state": asdict(state),
        "seed": None,
        "results": {"callback": {}, "bar": {}, "logged": {}},
        "logbook": [],
        "metrics": {},
        "gradients": {},
        "data": None,
    }


def warn_of_what_differs(content: Mapping[str, Any], state: FitState) -> None:
    """Say where a fit goes on from a checkpoint of Lightning's, and with what."""
    warnings.warn(
        f"the checkpoint was written by PyTorch Lightning {content['pytorch-lightning_version']}: the fit "
        f"goes on at epoch {state.epoch}, batch {state.batch}, with its weights, optimizers, schedules and "
        "callbacks; random numbers and the order of shuffled data are others than they would have been",
        stacklevel=2,
    )
