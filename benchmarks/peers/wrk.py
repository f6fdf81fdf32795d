"""A run of wrk against one server."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .started import Server

SCRIPT = Path(__file__).with_name("load.lua")


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
        [*command, "--timeout", "10s", "-s", str(SCRIPT), server.url],
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
