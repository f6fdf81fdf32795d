"""Clients that ask a marked model without a pause, and look hard at every answer."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import httpx


def once(url: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> httpx.Response:
    """The answer to one request, on a connection of its own: any worker may give it.

    `httpx.get` would read all certificates first, which takes longer than the server does.
    """
    with httpx.Client(verify=False, timeout=30, headers=headers) as client:
        return client.request(method, url)


class Load:
    """Several connections that ask for as long as the context is entered.

    Args:
        url: The server.
        name: The model.
        marks: What each version adds to a number.
        clients: How many connections.
        pause_s: How long each waits between two requests.
        reconnect: Open a connection anew for each request.
        statuses: What may be answered; 200 is looked into.
        key: The server's API key.

    Attributes:
        answers: How many by status, and of those with 200 by version.
        failures: What went wrong.
        latencies_s: Of answers with 200.
    """

    def __init__(
        self,
        url: str,
        name: str,
        marks: Mapping[str, float],
        *,
        clients: int = 4,
        pause_s: float = 0.0,
        reconnect: bool = False,
        statuses: tuple[int, ...] = (200,),
        key: str = "",
    ) -> None:
        address = httpx.URL(url)
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self.latencies_s: list[float] = []
        self.ended = 0
        self._address = (address.host, address.port or 80)
        self._path = f"/v2/models/{name}/infer"
        self._marks = marks
        self._pause_s = pause_s
        self._reconnect = reconnect
        self._statuses = statuses
        self._headers = {"Content-Type": "application/json", **({"X-API-Key": key} if key else {})}
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(seed,)) for seed in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Let every client finish its request."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def total(self) -> int:
        """How many answers there were."""
        return sum(count for status, count in self.answers.items() if status.isdigit())

    def _ask(self, seed: int) -> None:
        chance = random.Random(seed)
        connection = http.client.HTTPConnection(*self._address, timeout=30)
        while not self._stop.is_set():
            if not self._once(connection, chance):
                break
            if self._reconnect:
                connection.close()
            if self._pause_s:
                time.sleep(self._pause_s)
        connection.close()

    def _once(self, connection: http.client.HTTPConnection, chance: random.Random) -> bool:
        """One request; False when the server is gone, which is a failure unless it was not accepted."""
        numbers = [float(chance.randrange(100)), float(chance.randrange(100))]
        tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": numbers}
        fresh = connection.sock is None
        began = time.perf_counter()
        try:
            if fresh:
                connection.connect()
        except ConnectionRefusedError:
            self.ended += 1
            return False
        try:
            connection.request("POST", self._path, json.dumps({"inputs": [tensor]}), self._headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            if fresh and isinstance(error, ConnectionError | http.client.RemoteDisconnected):
                self.ended += 1  # it waited in the system's queue: no process had taken it
                return False
            self.failures.append(f"{type(error).__name__}: {error}")
            return False
        self.answers[str(response.status)] += 1
        if response.status not in self._statuses:
            self.failures.append(f"{response.status}: {body[:200]!r}")
        elif response.status == 200:
            self.latencies_s.append(time.perf_counter() - began)
            self._check(numbers, json.loads(body), response.headers["X-Model-Version"])
        return True

    def _check(self, numbers: list[float], answer: dict[str, Any], version: str) -> None:
        """The values are those of the version that body and header name."""
        self.answers[f"version {version}"] += 1
        expected = [number + self._marks[version] for number in numbers]
        got = answer["outputs"][0]["data"]
        if got != expected or answer["model_version"] != version:
            self.failures.append(f"version {version} answers {got} to {numbers}: {answer}")
