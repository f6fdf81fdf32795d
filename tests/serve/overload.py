"""``python -m tests.serve.overload``: ten times what a server manages, for a while, and then as if nothing was.

The clients keep a rate, whatever comes back: a request that is due is sent. Printed are the statuses, the
latency of what was accepted, the server's memory, and how it does afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.serve.settings import ServedModel, Settings
from tests.serve.bundles import slow_bundle
from tests.serve.servers import Server, started

CONNECTIONS = 256
DEADLINE_MS = 50.0
CALM_S = 5.0  # of ordinary requests, before and after
LAYERS = 400  # 20 ms and more for a batch: ten connections are too many
PATH = "/v2/models/slow/infer"


@dataclass
class Outcome:
    """What clients saw.

    Attributes:
        statuses: How many answers of each.
        latencies_s: Of those that are 200.
        no_retry_after: 429 that do not say when to come back.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    no_retry_after: int = 0

    def percentile_ms(self, share: float) -> float:
        """Of the latencies, in milliseconds."""
        ranked = sorted(self.latencies_s)
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))] * 1000 if ranked else float("nan")


def settings(bundle: Path) -> Settings:
    """A server of one slow model."""
    model = ServedModel(name="slow", version="1", bundle=bundle)
    return Settings(models=(model,), port=0, workers=1, threads=1, batch_size=4, deadline_ms=DEADLINE_MS)


async def ask(url: str, *, rate: float | None, seconds: float, connections: int) -> Outcome:
    """Requests at a rate, or one after the other on each connection."""
    outcome = Outcome()
    begin = time.perf_counter()
    due = iter(range(10**9))

    async def client() -> None:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        while (elapsed := time.perf_counter() - begin) < seconds:
            if rate is not None and (wait := next(due) / rate - elapsed) > 0:
                await asyncio.sleep(wait)
            await once(reader, writer, outcome)
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return outcome


async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, outcome: Outcome) -> None:
    """One request on an open connection."""
    data = json.dumps({"inputs": [{"name": "x", "shape": [1, 512], "datatype": "FP32", "data": [0] * 512}]})
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    began = time.perf_counter()
    writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n{data}".encode())
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(answer.split(b" ", 2)[1])
    length = int(answer.split(b"content-length: ")[1].split(b"\r\n")[0])
    await reader.readexactly(length)
    outcome.statuses[status] += 1
    if status == 200:
        outcome.latencies_s.append(time.perf_counter() - began)
    elif status == 429 and b"\r\nretry-after: " not in answer:
        outcome.no_retry_after += 1


def resident_mb(server: Server) -> float:
    """Memory of the workers."""
    return float(sum(worker.memory_info().rss for worker in server.workers())) / 2**20


@dataclass(frozen=True, kw_only=True)
class Overload:
    """What was seen before, during and after.

    Attributes:
        seconds: For how long it was overloaded.
        before: Four connections, one request after the other, for `CALM_S` seconds.
        flood: Ten times as many requests as were answered before.
        after: One connection, for `CALM_S` seconds.
        memory_mb: Of the worker, before and right after.
    """

    seconds: float
    before: Outcome
    flood: Outcome
    after: Outcome
    memory_mb: tuple[float, float]

    @property
    def fine(self) -> bool:
        """Every answer was 200, or 429 with a time to come back; and afterwards all were 200."""
        answered = set(self.flood.statuses) <= {200, 429} and not self.flood.no_retry_after
        return answered and self.flood.statuses[200] > 0 and set(self.after.statuses) == {200}


def overload(seconds: float) -> Overload:
    """Start a server, and ask it for ten times what it manages."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = slow_bundle(Path(folder) / "bundle", LAYERS).path
        with started(settings(bundle), Path(folder) / "server") as server:
            url = server.url()
            before = asyncio.run(ask(url, rate=None, seconds=CALM_S, connections=4))
            memory, rate = resident_mb(server), 10 * before.statuses[200] / CALM_S
            flood = asyncio.run(ask(url, rate=rate, seconds=seconds, connections=CONNECTIONS))
            grown = resident_mb(server)
            after = asyncio.run(ask(url, rate=None, seconds=CALM_S, connections=1))
    return Overload(seconds=seconds, before=before, flood=flood, after=after, memory_mb=(memory, grown))


def main() -> int:
    """Print what happened; 1 where an answer was neither 200 nor 429, or the server did not recover."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=30.0)
    seconds = parser.parse_args().seconds
    seen = overload(seconds)
    before, flood, after = seen.before, seen.flood, seen.after
    capacity = before.statuses[200] / CALM_S
    print(f"capacity: {capacity:.0f} requests/s, p99 {before.percentile_ms(0.99):.0f} ms")
    sent = flood.statuses.total() / seconds
    print(f"offered {10 * capacity:.0f}/s, sent {sent:.0f}/s: {dict(flood.statuses)}")
    print(
        f"accepted: {flood.statuses[200] / seconds:.0f}/s, p50 {flood.percentile_ms(0.5):.0f} ms, "
        f"p99 {flood.percentile_ms(0.99):.0f} ms (deadline {DEADLINE_MS:.0f} ms)"
    )
    print("memory of the worker: {:.0f} MB before, {:.0f} MB after".format(*seen.memory_mb))
    print(f"afterwards: {after.statuses[200] / CALM_S:.0f} requests/s, {dict(after.statuses)}")
    return int(not seen.fine)


if __name__ == "__main__":
    sys.exit(main())
