from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from lifecycle.train.loggers.background import Background
from lifecycle.train.loggers.outbox import Call, Outbox
from lifecycle.train.loggers.record import Record
from tests.train.loggers.stores import Clock
from tests.train.small import loader

WAIT_S = 30


class Slow:
    """A logger that takes calls when it is let, and remembers which threads called it."""

    in_background = True

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.steps: list[int] = []
        self.calls = 0
        self.threads: set[threading.Thread] = set()
        self.error: BaseException | None = None

    def log_records(self, records: Sequence[Record]) -> None:
        self.calls += 1
        self.threads.add(threading.current_thread())
        self.entered.set()
        assert self.open.wait(WAIT_S)
        if self.error is not None:
            raise self.error
        self.steps += [record.step or 0 for record in records]

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        raise AssertionError("records are given together")


def number(step: int) -> Call:
    return Call("log_metrics", Record({"loss": 1.0}, step, 0.0))


def made(**options: Any) -> tuple[Slow, Clock, Background]:
    logger, clock = Slow(), Clock()
    return logger, clock, Background(Outbox(logger, clock=clock), clock=clock, **options)


def test_calls_are_gathered_for_a_second_and_given_in_a_thread() -> None:
    logger, clock, background = made()
    before = set(threading.enumerate())  # others may have left some, and they end when they like
    for step in range(5):
        clock.now = step / 10
        background.put(number(step))
    assert (logger.steps, set(threading.enumerate()) - before) == ([], set())
    clock.now = 1.0
    background.put(number(5))
    assert logger.entered.wait(WAIT_S)
    (thread,) = logger.threads
    thread.join(WAIT_S)
    assert thread is not threading.current_thread()
    assert not thread.daemon
    assert logger.steps == [0, 1, 2, 3, 4, 5]
    clock.now = 1.9
    background.put(number(6))
    clock.now = 2.0
    background.put(number(7))
    background.close("success")
    assert logger.steps == [0, 1, 2, 3, 4, 5, 6, 7]
    assert logger.calls == 2


def test_training_goes_on_while_it_is_slow() -> None:
    logger, clock, background = made()
    before = set(threading.enumerate())
    logger.open.clear()
    clock.now = 1.0
    background.put(number(0))
    assert logger.entered.wait(WAIT_S)
    for step in range(1, 500):
        clock.now += 1.0
        background.put(number(step))
    assert logger.steps == []
    logger.open.set()
    background.close("success")
    assert logger.steps == list(range(500))
    assert set(threading.enumerate()) <= before


def test_training_waits_once_too_many_have_gathered() -> None:
    logger, _, background = made(limit=10)
    logger.open.clear()
    waiter = threading.Timer(0.05, logger.open.set)
    waiter.start()
    for step in range(100):
        background.put(number(step))
    assert logger.open.is_set()
    background.close("success")
    waiter.join()
    assert logger.steps == list(range(100))
    assert background.complaints == []


def test_numbers_are_given_up_rather_than_wait_for_a_logger_that_fails() -> None:
    logger, clock, background = made(limit=10)
    logger.error = ConnectionError("no route")
    background.put(number(0))
    background.flush()
    logger.open.clear()
    logger.entered.clear()
    clock.now = 100.0
    background.put(number(1))
    assert logger.entered.wait(WAIT_S)  # it hangs, and it has failed before
    for step in range(2, 52):
        background.put(number(step))
    logger.error = None
    logger.open.set()
    background.close("success")
    assert logger.steps == [0, 1, *range(42, 52)]
    assert background.complaints == [
        "Slow failed: ConnectionError: no route. Training goes on; what it was to log is kept, and tried again.",
        "Slow did not take 40 calls made to it: ConnectionError: no route",
    ]


def test_what_ends_a_program_is_raised_in_the_thread_that_trains() -> None:
    logger, clock, background = made()
    logger.error = SystemExit(3)
    clock.now = 1.0
    background.put(number(0))
    assert logger.entered.wait(WAIT_S)
    (thread,) = logger.threads
    thread.join(WAIT_S)
    with pytest.raises(SystemExit):
        background.put(number(1))
    logger.error = None
    background.close("failed")
    assert logger.steps == [0]


def test_loader_workers_may_be_forked_meanwhile() -> None:
    logger, clock, background = made()
    step = 0
    for _ in range(5):
        for _batch in loader(workers=2):
            clock.now += 1.0
            background.put(number(step))
            step += 1
    background.close("success")
    assert logger.steps == list(range(step)) == list(range(30))
