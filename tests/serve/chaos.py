"""The endpoint at length: what the suite does in seconds, for minutes, and with figures.

``python -m tests.serve.chaos`` runs all; ``python -m tests.serve.chaos moves overload`` runs those named.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil
from mlflow import MlflowClient
from onnx import helper

from lifecycle.connection import connect
from lifecycle.core.artifact import Artifact
from lifecycle.core.signature import Signature, TensorSpec
from lifecycle.registry import fetch, find_version
from lifecycle.serve.settings import ServedModel, Settings
from lifecycle.workspace import Workspace
from tests.postgres import free_port
from tests.serve.bundles import bundle
from tests.serve.load import Load, once
from tests.serve.marked import Marked
from tests.serve.servers import Server, started

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def moves(folder: Path, times: int = 50) -> None:
    """The alias moves under load: no failed answer, none of another version than it names."""
    with followed(folder, connect(Workspace(folder / ".lifecycle"), {})) as (server, marked):
        with Load(server.url(), "marked", marked.marks, clients=6) as load:
            taken = []
            before = [one.memory_info().rss for one in workers(server)]
            for turn in range(times):
                version = "21"[turn % 2]
                began = time.monotonic()
                marked.move(version)
                arrive(server, version)
                taken.append(time.monotonic() - began)
        after = [one.memory_info().rss for one in workers(server)]
        grown = ", ".join(f"{100 * (b / a - 1):+.1f} %" for a, b in zip(before, after, strict=True))
        check(load.failures == [], f"answers failed: {load.failures[:3]}")
        late = percentile(load.latencies_s, 99) * 1000
        print(
            f"moves: {times} alias moves, {load.total} requests on 6 connections, {len(load.failures)} failed or "
            f"mixed; a move took {statistics.median(taken):.1f} s (looks every 0.5 s); p99 {late:.1f} ms, "
            f"worst {max(load.latencies_s) * 1000:.0f} ms; memory of the workers {grown}"
        )


def registry(folder: Path) -> None:
    """The tracking server is killed, and hangs, under load; when it is back the alias is followed again."""
    port = free_port()
    tracking = MlflowServer(folder / "server", port)
    tracking.start()
    try:
        client = connect(Workspace(folder / ".lifecycle"), {"MLFLOW_TRACKING_URI": tracking.url})
        with followed(folder, client, MLFLOW_TRACKING_URI=tracking.url) as (server, marked):
            with Load(server.url(), "marked", marked.marks, clients=4, pause_s=0.005) as load:
                for what, away, back in (
                    ("killed", tracking.kill, tracking.start),
                    ("hanging", tracking.pause, tracking.go_on),
                ):
                    away()
                    until(server, lambda known: not known["answers"])
                    before = load.total
                    time.sleep(10)
                    asked = load.total - before
                    back()
                    began = time.monotonic()
                    marked.move("2")
                    arrive(server, "2")
                    taken = time.monotonic() - began
                    marked.move("1")
                    arrive(server, "1")
                    print(
                        f"registry: {what} for 10 s and back: {asked} requests meanwhile, "
                        f"{len(load.failures)} failed; followed again within {taken:.1f} s"
                    )
            check(load.failures == [], f"answers failed: {load.failures[:3]}")
    finally:
        tracking.kill()


def overload(folder: Path, seconds: float = 30.0) -> None:
    """Ten times what it can compute: the wait of the accepted stays bounded, and memory too."""
    model = ServedModel(name="slow", version="1", bundle=slow_bundle(folder / "bundle").path)
    settings = Settings(models=(model,), port=0, workers=1, threads=1, batch_size=1, deadline_ms=200.0)
    with started(settings, folder / "server-slow") as server:
        url = server.url()
        body = json.dumps(
            {"inputs": [{"name": "x", "shape": [1, 64], "datatype": "FP32", "data": [0.0] * 64}]}
        ).encode()
        asyncio.run(offer(url, body, rate=20, seconds=3))
        capacity = closed_loop(url, body, seconds=4)
        [worker] = workers(server)
        before = worker.memory_info().rss
        answers, latencies = asyncio.run(offer(url, body, rate=10 * capacity, seconds=seconds))
        after = worker.memory_info().rss
        calm, calm_latencies = asyncio.run(offer(url, body, rate=capacity * 0.5, seconds=5))
        total = sum(answers.values())
        print(
            f"overload: capacity {capacity:.0f}/s; offered {total / seconds:.0f}/s for {seconds:.0f} s: "
            f"{answers['200']} answered ({answers['200'] / seconds:.0f}/s), {answers['429']} refused with 429, "
            f"others {dict(answers - Counter({'200': answers['200'], '429': answers['429']}))}; of the accepted "
            f"p50 {percentile(latencies, 50) * 1000:.0f} ms, p99 {percentile(latencies, 99) * 1000:.0f} ms "
            f"(may wait 200 ms); memory {before / 2**20:.0f} → {after / 2**20:.0f} MiB; afterwards at half its "
            f"capacity {dict(calm)}, p99 {percentile(calm_latencies, 99) * 1000:.0f} ms"
        )
        check(set(answers) <= {"200", "429"}, f"other answers than 200 and 429: {answers}")
        check(set(calm) == {"200"}, f"not recovered: {calm}")
        check(after < before * 1.25, "memory grew under overload")


def memory(folder: Path, requests: int = 100_000) -> None:
    """Resident memory of the worker over many requests."""
    made = Marked(connect(Workspace(folder / ".lifecycle"), {}), folder, "marked", {})
    with followed(folder, made.client) as (server, _):
        script = folder / "post.lua"
        script.write_text(
            'wrk.method = "POST"; wrk.headers["Content-Type"] = "application/json"\n'
            'wrk.body = \'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}\'\n'
        )
        done, bad = wrk(server.url(), script, 5)
        before = {one.pid: one.memory_info().rss for one in workers(server)}
        while done < requests:
            more, worse = wrk(server.url(), script, 10)
            done, bad = done + more, bad + worse
        grown = [one.memory_info().rss / before[one.pid] - 1 for one in workers(server)]
        sizes = [one.memory_info().rss / 2**20 for one in workers(server)]
        shown = ", ".join(f"{100 * part:+.2f} %" for part in grown)
        print(
            f"memory: {done} requests, {bad} not 2xx; resident memory of the workers {shown} "
            f"(now {', '.join(f'{size:.0f} MiB' for size in sizes)})"
        )
        check(bad == 0, "answers other than 2xx")
        check(max(grown) < 0.02, "resident memory grew by 2 % or more")


@contextmanager
def followed(folder: Path, client: MlflowClient, **variables: str) -> Iterator[tuple[Server, Marked]]:
    """Two workers that follow the champion of a model whose versions 1 and 2 add 1000 and 2000."""
    workspace = Workspace(folder / ".lifecycle")
    marked = Marked(client, folder, "marked", {})
    marked.add(1000.0)
    marked.add(2000.0)
    marked.move("1")
    found, _ = fetch(client, find_version(client, "models:/marked/1"), workspace.served)
    model = ServedModel(name="marked", version="1", bundle=found.path, follow=marked.uri)
    settings = Settings(models=(model,), port=0, workers=2, threads=1, poll_s=0.5, workspace=workspace.path)
    with started(settings, folder / "server", **variables) as server:
        until(server, lambda known: known["last_answer"] is not None)
        yield server, marked


def until(server: Server, holds: Callable[[dict[str, object]], bool]) -> None:
    """Wait for what is known of the registry."""
    url = f"{server.url()}/v2/models/marked"

    def look() -> bool | None:
        time.sleep(0.1)
        known = once(url).json().get("following")
        return (known is not None and holds(known["registry"])) or None

    server.wait_for(look)


def arrive(server: Server, version: str) -> None:
    """Wait until every worker serves a version."""
    url = f"{server.url()}/v2/models/marked"

    def look() -> bool | None:
        time.sleep(0.1)
        found = {once(url).headers["x-model-version"] for _ in range(6)}
        return found == {version} or None

    server.wait_for(look)


def workers(server: Server) -> list[psutil.Process]:
    """The processes that answer."""
    return [one for one in server.workers() if "_bentoml_impl.worker.service" in one.cmdline()]


class MlflowServer:
    """A tracking server on SQLite that can be killed and stopped.

    Args:
        folder: Where it keeps everything.
        port: Where it listens, each time.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._folder = folder
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once it answers."""
        self._folder.mkdir(exist_ok=True)
        words = ["--backend-store-uri", f"sqlite:///{self._folder / 'mlflow.db'}", "--workers", "1"]
        words += ["--artifacts-destination", str(self._folder / "artifacts")]
        words += ["--host", "127.0.0.1", "--port", str(self._port)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *words],
                cwd=self._folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            )
        deadline = time.monotonic() + 120
        while not self._healthy():
            check(time.monotonic() < deadline, (self._folder / "log").read_text())
            time.sleep(0.2)

    def kill(self) -> None:
        """All its processes, without a word."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def pause(self) -> None:
        """It takes connections and answers none."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """After `pause`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def slow_bundle(into: Path) -> Artifact:
    """Takes some 20 ms a row: a chain of products of matrices."""
    size, depth = 1024, 24
    generator = np.random.default_rng(0)
    constants = {
        "first": generator.normal(size=(64, size)).astype(np.float32),
        "wide": (generator.normal(size=(size, size)) / size).astype(np.float32),
    }
    nodes = [helper.make_node("MatMul", ["x", "first"], ["h0"])]
    nodes += [helper.make_node("MatMul", [f"h{at}", "wide"], [f"h{at + 1}"]) for at in range(depth)]
    nodes.append(helper.make_node("ReduceSum", [f"h{depth}"], ["y"], keepdims=1, noop_with_empty_axes=1))
    signature = Signature(
        inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 64), range=(0.0, 1.0)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", size)),),
    )
    return bundle(into, nodes, signature, constants)


async def offer(url: str, body: bytes, *, rate: float, seconds: float) -> tuple[Counter[str], list[float]]:
    """So many requests a second, whether the ones before were answered or not; statuses, and seconds of 200."""
    answers: Counter[str] = Counter()
    latencies: list[float] = []
    idle: list[Connection] = []
    address = httpx.URL(url)
    request = _request(body)

    async def one() -> None:
        began = time.perf_counter()
        try:
            connection = await _connected(idle, address)
            connection[1].write(request)
            status = await asyncio.wait_for(_answer(connection[0]), 30)
        except (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError) as error:
            answers[type(error).__name__] += 1
            return
        idle.append(connection)
        answers[status] += 1
        if status == "200":
            latencies.append(time.perf_counter() - began)

    began, tasks, sent = time.perf_counter(), set[asyncio.Task[None]](), 0
    while (elapsed := time.perf_counter() - began) < seconds:
        while sent < elapsed * rate:
            task = asyncio.create_task(one())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        await asyncio.sleep(0.002)
    await asyncio.gather(*tasks)
    for _, writer in idle:
        writer.close()
    return answers, latencies


async def _connected(idle: list[Connection], address: httpx.URL) -> Connection:
    """One that is idle and that the server has not closed meanwhile, or a new one."""
    while idle:
        connection = idle.pop()
        if not connection[0].at_eof():
            return connection
    return await asyncio.open_connection(address.host, address.port)


async def _answer(reader: asyncio.StreamReader) -> str:
    head = await reader.readuntil(b"\r\n\r\n")
    found = re.search(rb"(?i)content-length: (\d+)", head)
    await reader.readexactly(int(found[1]) if found else 0)
    return head.split(b" ", 2)[1].decode()


def _request(body: bytes) -> bytes:
    return (
        b"POST /v2/models/slow/infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    ) + body


def closed_loop(url: str, body: bytes, *, seconds: float) -> float:
    """Answers a second to one client that waits for each."""
    with httpx.Client(timeout=30, headers={"Content-Type": "application/json"}) as client:
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            check(
                client.post(f"{url}/v2/models/slow/infer", content=body).status_code == 200, "refused alone"
            )
            count += 1
        return count / (time.perf_counter() - began)


def wrk(url: str, script: Path, seconds: int) -> tuple[int, int]:
    """Requests that were answered, and those that went wrong."""
    command = ["wrk", "-t1", "-c16", f"-d{seconds}s", "-s", str(script), f"{url}/v2/models/marked/infer"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"(\d+) requests in", text)
    bad = sum(
        int(number)
        for number in re.findall(r"(?:Non-2xx or 3xx responses:|connect|read|write|timeout) (\d+)", text)
    )
    return int(found[1]) if found else 0, bad


def percentile(values: list[float], part: float) -> float:
    """Seconds below which that part, in percent, of the values lie."""
    return float(np.percentile(values, part)) if values else float("nan")


def check(holds: bool, text: str) -> None:
    """End with the text unless it holds."""
    if not holds:
        raise SystemExit(f"FAILED: {text}")


PARTS = {"moves": moves, "registry": registry, "overload": overload, "memory": memory}


def main() -> None:
    """Run the parts that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; by default all")
    for name in parser.parse_args().parts or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)  # where MLflow puts files that are given no place
            PARTS[name](Path(folder))
            os.chdir("/")


if __name__ == "__main__":
    main()
