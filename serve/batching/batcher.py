"""Requests of one model wait here for their turn, and are computed together where that is the same as alone.

What is quick (`QUICK_S`) is computed on the event loop: handing it to a thread and back costs more than it
takes (ADR-0011). What is not goes to a thread of its own, so that the loop goes on reading and refusing.
Nobody waits for company while nothing is computed: what arrived in one turn of the event loop is a batch,
and so is what arrived while the batch before it was computed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter

from lifecycle.core.signature import Array
from lifecycle.export.runtime import Model
from lifecycle.serve.batching.batch import Computed, Outputs, blamed, compute, count_samples
from lifecycle.serve.batching.cost import Cost
from lifecycle.serve.batching.listener import Listener, Silence
from lifecycle.serve.batching.options import Batching
from lifecycle.serve.batching.queue import Queue
from lifecycle.serve.batching.statistics import Statistics
from lifecycle.serve.batching.waiting import Gone, Waiting, answer_of
from lifecycle.serve.errors import NotReadyError, OverloadedError

QUICK_S = 0.001
LEAST_GAIN = 0.1
_COMPANY_SHARE = 0.1
_LOOK_EVERY = 4


class Batcher:
    """The queue of one model. Everything but the network's run happens on one event loop.

    Attributes:
        statistics: What was done so far.
        deadline_s: How long a request may wait for its turn.
        cost: What is known of how long it takes.
        batch_size: Samples that are computed together at most, 1 where requests cannot be put together.

    Args:
        model: Computes.
        batching: Sizes and times.
        joinable: Whether a batch gives each request the answer that it would get alone.
        cost: What is known already of how long it takes.
        listener: Is told of every batch.
    """

    def __init__(
        self,
        model: Model,
        batching: Batching,
        *,
        joinable: bool = False,
        cost: Cost | None = None,
        listener: Listener | None = None,
    ) -> None:
        self.statistics = Statistics()
        self.batch_size = batching.most_samples(model) if joinable else 1
        self.deadline_s = batching.deadline_s
        self._model = model
        self._batching = batching
        self._joinable = joinable
        self._listener: Listener = listener or Silence()
        self._names = tuple(spec.name for spec in model.signature.inputs)
        self.cost = cost or Cost()
        self._queue = Queue(self.statistics.failed)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")
        self._running: list[Waiting] = []
        self._running_until = 0.0
        self._timer: asyncio.Handle | None = None
        self._alone_this_turn = False
        self._runs_at_once = 0
        self._crowded = False
        self._closed = False
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def accepted(self) -> int:
        """Requests that are computed or wait for it."""
        return len(self._queue) + len(self._running)

    async def run(
        self, arrays: Mapping[str, Array], *, deadline_s: float | None = None, gone: Gone | None = None
    ) -> Outputs:
        """Outputs by name of inputs that were checked against the signature.

        A caller that is cancelled is not computed, unless that has begun.

        Args:
            arrays: Inputs by name.
            deadline_s: How long it may wait for its turn, where that is sooner than the model's own deadline.
            gone: Returns once nobody waits for the answer any more; only called where there is time for it.

        Raises:
            OverloadedError: it would wait too long, or did.
            NotReadyError: the model is no longer served.
            ModelFailedError: the network fails on these values.
            GoneError: nobody waits for the answer any more, and it was not computed.
        """
        now = perf_counter()
        size = count_samples(arrays, self._names[0])
        deadline_s = self.deadline_s if deadline_s is None else min(deadline_s, self.deadline_s)
        if self._closed:
            raise NotReadyError("this version of the model is no longer served; try again")
        if self._may_run_at_once(size):
            return self._run_at_once(arrays, size, now)
        self._refuse_late(deadline_s)
        return await self._wait(self._enqueue(arrays, size, now, deadline_s), gone)

    def expected_wait(self) -> float:
        """Seconds until a request that came now would have its turn."""
        waiting = len(self._queue)
        most = self._most()
        runs = -(-self._queue.samples // most) if most > 1 else waiting
        wait = self.cost.expected(self._queue.samples, runs) if waiting else 0.0
        if self._running:
            wait += max(0.0, self._running_until - perf_counter())
        return wait if wait < math.inf else 0.0  # what was never seen is let in

    def refused(self) -> None:
        """A request for this model was turned away, here or before it came so far."""
        self.statistics.refused()
        self._listener.refused()

    async def drain(self) -> None:
        """Wait until everything that was accepted is answered."""
        await self._empty.wait()

    def close(self) -> None:
        """Take nothing more in, and end the thread; what still waits is told so."""
        self._closed = True
        self._empty.set()
        self._queue.clear()
        self._thread.shutdown(wait=True)

    # -- one request -----------------------------------------------------------------------------------

    def _may_run_at_once(self, size: int) -> bool:
        """Nothing is computed or waits, it is quick, and no other request came in this turn of the loop."""
        if self._queue or self._running or self._crowded or not self._quick(size):
            return False
        if self._alone_this_turn:  # from now on, what comes in one turn is collected
            self._crowded = self._most() > 1
            return not self._crowded
        self._alone_this_turn = True
        asyncio.get_running_loop().call_soon(self._end_turn)
        return True

    def _most(self) -> int:
        """Samples of the next batch: one, where together they take as long as one after the other.

        Large tensors do: what a batch saves of ONNX Runtime's own work, copying them together costs.
        """
        return self.batch_size if self._joinable and self.cost.gain > LEAST_GAIN else 1

    def _end_turn(self) -> None:
        self._alone_this_turn = False

    def _quick(self, samples: int) -> bool:
        return self.cost.undisturbed(samples) <= QUICK_S

    def _run_at_once(self, arrays: Mapping[str, Array], size: int, arrived: float) -> Outputs:
        batch = compute(self._model, (arrays,), (size,))
        self._runs_at_once += 1
        if not self._runs_at_once % _LOOK_EVERY:
            self.cost.observe(size, batch.infer_s)
        self.statistics.computed(batch)
        self._listener.computed(batch, (0.0,))
        answer = batch.answers[0]
        time_s = perf_counter() - arrived
        if isinstance(answer, Exception):
            self.statistics.failed(time_s)
            raise blamed(answer)
        self.statistics.answered(size, 0.0, time_s)
        return answer

    def _refuse_late(self, deadline_s: float) -> None:
        """Raise `OverloadedError` where the queue is full or the wait would be too long."""
        wait = self.expected_wait()
        waiting = len(self._queue)
        if waiting >= self._batching.queue_limit:
            text = f"{waiting} requests wait already, which is the limit"
        elif wait > deadline_s:
            text = f"the wait would be {wait * 1000:.0f} ms, and this one may wait {deadline_s * 1000:.0f} ms"
        else:
            return
        self.refused()
        raise OverloadedError(f"{text}; try again later", retry_after_s=wait)

    def _enqueue(self, arrays: Mapping[str, Array], size: int, now: float, deadline_s: float) -> Waiting:
        key = tuple([arrays[name].shape[1:] for name in self._names]) if self._joinable else None
        future: asyncio.Future[Outputs] = asyncio.get_running_loop().create_future()
        waiting = Waiting(
            arrays=arrays, size=size, key=key, arrived=now, deadline=now + deadline_s, future=future
        )
        self._queue.append(waiting)
        self._empty.clear()
        if self._running:
            return waiting
        if self._queue.samples >= self._most():
            self._next_turn()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_soon(self._next_turn)
        return waiting

    async def _wait(self, waiting: Waiting, gone: Gone | None) -> Outputs:
        quick = not self._running and self._quick(self._queue.samples)
        return await answer_of(waiting, None if quick else gone)

    # -- batches ---------------------------------------------------------------------------------------

    def _next_turn(self) -> None:
        """Compute the next batch, if there is one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch = self._queue.take(self._most())
        if not batch:
            self._crowded = False
            self._rest()
            return
        samples = sum([waiting.size for waiting in batch])
        arrays, sizes = [waiting.arrays for waiting in batch], [waiting.size for waiting in batch]
        if self._quick(samples):
            self._crowded = len(batch) > 1 or bool(self._queue)
            self._finish(batch, compute(self._model, arrays, sizes))
            self._rest()
            return
        loop = asyncio.get_running_loop()
        try:
            done = self._thread.submit(compute, self._model, arrays, sizes)
        except RuntimeError as error:  # there is no thread to be had
            for waiting in batch:
                waiting.future.set_exception(error)
            self._rest()
            return
        self._running = batch
        self._running_until = perf_counter() + self.cost.expected(samples)
        done.add_done_callback(lambda done: loop.call_soon_threadsafe(self._ran, done))

    def _ran(self, done: Future[Computed]) -> None:
        """The thread is free."""
        batch, self._running = self._running, []
        self._finish(batch, done.result())
        self._rest()

    def _rest(self) -> None:
        """What still waits is next, now or when others had their chance to join it."""
        if not self._queue:
            self._empty.set()
            return
        loop, wait = asyncio.get_running_loop(), self._company_wait()
        self._timer = loop.call_later(wait, self._next_turn) if wait > 0 else loop.call_soon(self._next_turn)

    def _company_wait(self) -> float:
        """Seconds that the oldest may still wait for others, now that the model is free."""
        if self._queue.samples >= self._most():
            return 0.0
        longest = min(
            self._batching.batch_deadline_s, _COMPANY_SHARE * self.cost.expected(self._queue.samples)
        )
        return self._queue.oldest + longest - perf_counter()

    def _finish(self, batch: Sequence[Waiting], done: Computed) -> None:
        """Tell each its own answer."""
        now = perf_counter()
        if done.executions == 1:  # where it was tried again singly the time says nothing of batches
            self.cost.observe(done.samples, done.time_s)
        self.statistics.computed(done)
        self._listener.computed(done, [done.started - waiting.arrived for waiting in batch])
        for waiting, answer in zip(batch, done.answers, strict=True):
            if isinstance(answer, Exception):
                self.statistics.failed(now - waiting.arrived)
                if not waiting.future.done():
                    waiting.future.set_exception(blamed(answer))
                continue
            self.statistics.answered(waiting.size, done.started - waiting.arrived, now - waiting.arrived)
            if not waiting.future.done():
                waiting.future.set_result(answer)
