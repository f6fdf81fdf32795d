"""How one model's requests wait and are put together."""

from __future__ import annotations

from dataclasses import dataclass

from lifecycle.export.runtime import Model


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How one model's requests wait and are put together.

    Attributes:
        batch_size: Samples that are computed together at most; a larger request is computed alone.
        batch_deadline_s: How long a request may wait for company once the model is free, and at most a tenth
            of the time that the batch will take.
        queue_limit: Requests that may wait.
        deadline_s: How long a request may wait for its turn.
    """

    batch_size: int = 32
    batch_deadline_s: float = 0.002
    queue_limit: int = 256
    deadline_s: float = 1.0

    def most_samples(self, model: Model) -> int:
        """Samples that are computed together, no more than the model takes at once."""
        axis = model.signature.inputs[0].shape[0]
        return min(self.batch_size, model.signature.axes.get(str(axis), (1, self.batch_size))[1])
