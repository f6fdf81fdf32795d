"""What a model did so far, in the numbers of the protocol's statistics extension.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md
Times are in nanoseconds; an inference is a sample, an execution is a run of the network.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping

from lifecycle.core.canonical import JSON
from lifecycle.serve.batching.batch import Computed

KINDS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
_BATCH_KINDS = KINDS[3:]


class Statistics:
    """Counts and durations of one version of a model in this process.

    Attributes:
        inferences: Samples that were answered.
        executions: Runs of the network.
        last_ms: When the last one was answered, in milliseconds since 1970; 0 for never.
        durations: Count and nanoseconds of each of `KINDS`.
        batches: The same of the computing ones, by the batch's size in samples.
    """

    def __init__(self) -> None:
        self.inferences = 0
        self.executions = 0
        self.last_ms = 0
        self.durations: dict[str, list[int]] = {kind: [0, 0] for kind in (*KINDS, "cache_hit", "cache_miss")}
        # Those that every request touches are looked up once.
        self._success, self._queue = self.durations["success"], self.durations["queue"]
        self._computing = [self.durations[kind] for kind in _BATCH_KINDS]
        self.batches: defaultdict[int, dict[str, list[int]]] = defaultdict(
            lambda: {kind: [0, 0] for kind in _BATCH_KINDS}
        )

    def refused(self) -> None:
        """A request was not taken in."""
        self.durations["fail"][0] += 1

    def failed(self, time_s: float) -> None:
        """A request was taken in and came to nothing after so long."""
        _add(self.durations["fail"], 1, time_s)

    def answered(self, size: int, queue_s: float, time_s: float) -> None:
        """A request of so many samples waited so long, and was answered after so long."""
        self.inferences += size
        _add(self._queue, 1, queue_s)
        _add(self._success, 1, time_s)

    def computed(self, batch: Computed) -> None:
        """A batch was computed."""
        self.executions += batch.executions
        self.last_ms = time.time_ns() // 1_000_000
        count = len(batch.answers)
        times_s = (batch.input_s, batch.infer_s, batch.output_s)
        per_size = self.batches[batch.samples].values()
        for total, of_size, time_s in zip(self._computing, per_size, times_s, strict=True):
            total[0] += count
            of_size[0] += 1
            if time_s:
                nanoseconds = int(time_s * 1e9)
                total[1] += nanoseconds * count  # each of its requests took that long
                of_size[1] += nanoseconds

    def to_json(self) -> dict[str, JSON]:
        """The part of an answer that is counted."""
        return {
            "last_inference": self.last_ms,
            "inference_count": self.inferences,
            "execution_count": self.executions,
            "inference_stats": {kind: _duration(found) for kind, found in self.durations.items()},
            "batch_stats": [
                {"batch_size": size, **{kind: _duration(found) for kind, found in kinds.items()}}
                for size, kinds in sorted(self.batches.items())
            ],
        }


def merged(parts: Iterable[Mapping[str, JSON]]) -> dict[str, JSON]:
    """The sum of several processes' `Statistics.to_json`."""
    total = Statistics()
    for part in parts:
        total.last_ms = max(total.last_ms, _number(part["last_inference"]))
        total.inferences += _number(part["inference_count"])
        total.executions += _number(part["execution_count"])
        _sum(total.durations, part["inference_stats"])
        batches = part["batch_stats"]
        assert isinstance(batches, list)
        for batch in batches:
            assert isinstance(batch, Mapping)
            _sum(total.batches[_number(batch["batch_size"])], batch)
    return total.to_json()


def _add(duration: list[int], count: int, time_s: float) -> None:
    duration[0] += count
    duration[1] += int(time_s * 1e9)


def _duration(found: list[int]) -> JSON:
    return {"count": found[0], "ns": found[1]}


def _sum(into: Mapping[str, list[int]], content: JSON) -> None:
    assert isinstance(content, Mapping)
    for kind, duration in into.items():
        found = content[kind]
        assert isinstance(found, Mapping)
        duration[0] += _number(found["count"])
        duration[1] += _number(found["ns"])


def _number(value: JSON) -> int:
    assert isinstance(value, int)
    return value
