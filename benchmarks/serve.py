"""Our server beside what else people build, loaded in turn by wrk.

Four servers are started beside each other on the same ONNX file with the same session settings: ours
(``lifecycle serve``, one worker), BentoML's ``@api(batchable=True)``, FastAPI with pydantic and ONNX Runtime,
and a bare Starlette app with our batcher. All have one processor core, wrk has another. Each is loaded for a
short time in turn, and that is repeated; reported are medians over the repetitions, and medians of the ratios
within one. Processor seconds are those of all of a server's processes.

Needs wrk (Debian's package of that name) and two cores. Exit code 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import psutil

from lifecycle.serve.process import free_port

BUNDLE = "BENCHMARK_BUNDLE"  # read by peers/session.py
ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "benchmarks" / "peers"
OURS, BENTOML, FASTAPI, STARLETTE = "ours", "BentoML batchable", "FastAPI + pydantic", "bare Starlette"
INFER = "/v2/models/model/infer"
CONNECTIONS = (1, 16, 64)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kind of request.

    Attributes:
        name: As printed.
        shape: Of one image.
        binary: Sent as bytes rather than JSON.
        servers: Those that understand it.
    """

    name: str
    shape: tuple[int, ...]
    binary: bool = False
    servers: tuple[str, ...] = (OURS, BENTOML, FASTAPI, STARLETTE)


CASES = (
    Case(name="JSON 1x8x8", shape=(1, 8, 8)),
    Case(name="JSON 3x32x32", shape=(3, 32, 32)),
    Case(name="binary 3x224x224", shape=(3, 224, 224), binary=True, servers=(OURS, STARLETTE)),
    Case(name="JSON 3x224x224", shape=(3, 224, 224), servers=(OURS,)),
)


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one run of wrk saw.

    Attributes:
        rate: Requests a second.
        p50_ms: Median latency.
        p99_ms: 99th percentile of it.
        cpu_ms: Processor time of the server for a request.
        wrong: Answers that were not 2xx, and broken connections.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    wrong: int


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that listens.

    Attributes:
        process: The first of its processes.
        url: Where inference is asked for.
        body: What to send.
        json_size: Where the JSON in it ends, for binary requests.
    """

    process: psutil.Process
    url: str
    body: Path
    json_size: int | None = None

    def cpu_s(self) -> float:
        """Processor seconds of all its processes so far."""
        times = [one.cpu_times() for one in (self.process, *self.process.children(recursive=True))]
        return sum(time.user + time.system for time in times)


def main() -> int:
    """Print a table; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--case", choices=[case.name for case in CASES], action="append")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if shutil.which("wrk") is None or len(cores) < 2:
        print("skipped: this needs wrk (apt-get install wrk) and two cores")
        return 0
    print(f"load averages before: {os.getloadavg()}")
    found: dict[tuple[str, int], dict[str, list[Load]]] = {}
    for case in CASES:
        if options.case and case.name not in options.case:
            continue
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            servers = {
                name: stack.enter_context(started(name, case, Path(folder), cores[0]))
                for name in case.servers
            }
            for connections in CONNECTIONS:
                loads = {name: [] for name in servers}
                names = list(servers)
                for at in range(options.rounds):
                    first = at % len(names)  # nobody is always the one after the heaviest
                    for name in (*names[first:], *names[:first]):
                        loads[name].append(load(servers[name], connections, options.seconds, cores[1]))
                found[case.name, connections] = loads
                show(case.name, connections, loads)
    return judge(found)


def show(case: str, connections: int, loads: dict[str, list[Load]]) -> None:
    """A table of medians; "rate" and "CPU" say how many times better ours is."""
    print(f"\n{case}, {connections} connections")
    heads = ("requests/s", "p50 ms", "p99 ms", "CPU ms/request", "rate", "CPU", "wrong")
    print(" " * 22 + "".join(f"{head:>{len(head) + 3}}" for head in heads))
    for name, runs in loads.items():
        rate, p50, p99, cpu = (
            median(getattr(run, field) for run in runs) for field in ("rate", "p50_ms", "p99_ms", "cpu_ms")
        )
        by_rate = f"{ratio_of(loads, name):.2f} x" if name != OURS else ""
        by_cpu = f"{cpu_ratio_of(loads, name):.2f} x" if name != OURS else ""
        wrong = sum(run.wrong for run in runs)
        print(
            f"  {name:20}{rate:13.0f}{p50:9.3f}{p99:9.3f}{cpu:17.3f}{by_rate:>9}{by_cpu:>8}{wrong:8}",
            flush=True,
        )


def ratio_of(loads: dict[str, list[Load]], name: str) -> float:
    """Our rate over another's, the median of the rounds."""
    return median(ours.rate / other.rate for ours, other in zip(loads[OURS], loads[name], strict=True))


def cpu_ratio_of(loads: dict[str, list[Load]], name: str) -> float:
    """Another's processor time for a request over ours: hardly moved by what else the machine does."""
    return median(other.cpu_ms / ours.cpu_ms for ours, other in zip(loads[OURS], loads[name], strict=True))


def judge(found: dict[tuple[str, int], dict[str, list[Load]]]) -> int:
    """Hold what was found against the bars; the exit code."""
    bars: list[tuple[str, float, str, float]] = []
    for (case, connections), loads in found.items():
        if connections == 16:
            for name, bar in ((BENTOML, 5.0), (FASTAPI, 1.8), (STARLETTE, 0.9)):
                if name in loads:
                    bars.append((f"{case}, 16 connections: over {name}", ratio_of(loads, name), ">=", bar))
        if connections == 1 and STARLETTE in loads:
            over = median(
                ours.p50_ms - other.p50_ms for ours, other in zip(loads[OURS], loads[STARLETTE], strict=True)
            )
            bars.append((f"{case}: ms of a single request over {STARLETTE}", over, "<=", 0.2))
        wrong = sum(run.wrong for run in loads[OURS])
        bars.append((f"{case}, {connections} connections: wrong answers", wrong, "<=", 0))
    binary, text = (found.get((f"{form} 3x224x224", 16)) for form in ("binary", "JSON"))
    if binary and text:
        times = median(one.rate for one in binary[OURS]) / median(one.rate for one in text[OURS])
        bars.append(("3x224x224, 16 connections: binary over JSON", times, ">=", 20.0))
    print()
    missed = 0
    for text_of_bar, value, sign, bar in bars:
        holds = value >= bar if sign == ">=" else value <= bar
        missed += not holds
        print(f"{'holds ' if holds else 'MISSED'} {text_of_bar}: {value:.2f} ({sign} {bar:g})")
    return 1 if missed else 0


def load(server: Server, connections: int, seconds: int, core: int) -> Load:
    """Run wrk once."""
    environment = {
        **os.environ,
        "BENCHMARK_BODY": str(server.body),
        "BENCHMARK_TYPE": "application/json" if server.json_size is None else "application/octet-stream",
        "BENCHMARK_JSON_SIZE": "" if server.json_size is None else str(server.json_size),
    }
    command = [
        "taskset",
        "-c",
        str(core),
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout",
        "10s",
    ]
    before = server.cpu_s()
    done = subprocess.run(
        [*command, "--timeout", "10s", "-s", str(PEERS / "load.lua"), server.url],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    spent = server.cpu_s() - before
    line = next(line for line in done.stdout.splitlines() if line.startswith("SUMMARY "))
    summary = json.loads(line.removeprefix("SUMMARY "))
    count = max(1, summary["requests"])
    return Load(
        rate=count / summary["duration_us"] * 1e6,
        p50_ms=summary["p50_us"] / 1000,
        p99_ms=summary["p99_us"] / 1000,
        cpu_ms=spent / count * 1000,
        wrong=summary["non_2xx"] + summary["broken"],
    )


@contextmanager
def started(name: str, case: Case, folder: Path, core: int) -> Iterator[Server]:
    """A server on one core that answered once."""
    bundle = folder / "model" / "bundle"
    if not bundle.exists():
        write_model(case.shape, bundle)
    port = free_port("127.0.0.1", 0)
    body, json_size = write_body(name, case, folder)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    environment = {
        **os.environ, BUNDLE: str(bundle), "PYTHONPATH": str(ROOT), "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "True", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command_of(name, bundle, port)],
            cwd=folder, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    path = "/infer" if name == BENTOML else INFER
    url = f"http://127.0.0.1:{port}{path}"
    server = Server(process=psutil.Process(process.pid), url=url, body=body, json_size=json_size)
    try:
        wait_for(server, process, folder / f"{name}.log")
        yield server
    finally:
        process.terminate()
        process.wait(60)


def command_of(name: str, bundle: Path, port: int) -> list[str]:
    """How it is started."""
    scripts = Path(sys.executable).parent
    if name == OURS:
        serve = [str(scripts / "lifecycle"), "serve", str(bundle), "--workers", "1"]
        return [*serve, "--port", str(port)]
    if name == BENTOML:
        serve = [str(scripts / "bentoml"), "serve", "benchmarks.peers.with_bentoml:Peer", "--quiet"]
        return [*serve, "--host", "127.0.0.1", "--port", str(port), "--working-dir", str(ROOT)]
    module = {FASTAPI: "with_fastapi", STARLETTE: "with_starlette"}[name]
    return [sys.executable, "-m", f"benchmarks.peers.{module}", str(port)]


def wait_for(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once it answers."""
    headers = {"Content-Type": "application/json"}
    if server.json_size is not None:
        headers = {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(server.json_size),
        }
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(
                urllib.request.Request(server.url, server.body.read_bytes(), headers), timeout=10
            ).read()
            return
        except OSError as error:
            if time.monotonic() > deadline or process.poll() is not None:
                raise SystemExit(f"{server.url} does not answer ({error}):\n{log.read_text()}") from None
            time.sleep(0.2)


def write_model(shape: tuple[int, ...], into: Path) -> None:
    """A network so small that the server's own work shows: patches, their mean, ten classes."""
    import torch
    from torch import nn

    from lifecycle.core.signature import Signature, TensorSpec
    from lifecycle.export.bundle import write_bundle

    torch.manual_seed(0)
    patch = max(1, shape[-1] // 8)
    layers = [nn.Conv2d(shape[0], 8, patch, stride=patch), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    signature = Signature(
        inputs=(TensorSpec(name="image", dtype="float32", shape=("batch", *shape), range=(0, 1)),),
        outputs=(TensorSpec(name="logits", dtype="float32", shape=("batch", 10)),),
    )
    into.parent.mkdir(parents=True)
    module = nn.Sequential(*layers, nn.Linear(8, 10)).eval()
    samples = {"image": np.random.default_rng(0).random((2, *shape), np.float32)}
    write_bundle(module, signature=signature, formats=("onnx",), samples=samples, into=into)


def write_body(name: str, case: Case, folder: Path) -> tuple[Path, int | None]:
    """The request for a server, and where its JSON ends if numbers follow."""
    image = np.random.default_rng(0).random((1, *case.shape), np.float32).round(4)
    tensor: dict[str, object] = {"name": "image", "shape": list(image.shape), "datatype": "FP32"}
    body, json_size = b"", None
    numbers = [round(float(number), 4) for number in image.ravel()]
    if name == BENTOML:
        body = json.dumps({"image": np.array(numbers).reshape(image.shape).tolist()}).encode()
    elif case.binary:
        tensor["parameters"] = {"binary_data_size": image.nbytes}
        head = json.dumps({"inputs": [tensor]}).encode()
        body, json_size = head + image.tobytes(), len(head)
    else:
        body = json.dumps({"inputs": [{**tensor, "data": numbers}]}).encode()
    file = folder / f"{name}.body"
    file.write_bytes(body)
    return file, json_size


if __name__ == "__main__":
    sys.exit(main())
