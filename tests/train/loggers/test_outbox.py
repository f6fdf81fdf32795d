from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest

from lifecycle.train.loggers.outbox import Call, Outbox
from lifecycle.train.loggers.record import Record
from tests.train.loggers.stores import Clock


class Moody:
    """A logger that fails while it is broken, and refuses some numbers always."""

    def __init__(self) -> None:
        self.broken = False
        self.refuses: set[int] = set()
        self.taken: list[Any] = []
        self.tries = 0
        self.saves = 0
        self.ended: list[str] = []

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self._take(step)

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        self._take(params)

    def save(self) -> None:
        self.saves += 1
        if self.broken:
            raise OSError("no space")

    def finalize(self, status: str) -> None:
        self.ended.append(status)

    def _take(self, what: Any) -> None:
        self.tries += 1
        if self.broken:
            raise ConnectionError("no route")
        if what in self.refuses:
            raise ValueError(f"bad {what}")
        self.taken.append(what)


def number(step: int) -> Call:
    return Call("log_metrics", Record({"loss": 1.0}, step, 0.0))


def made(limit: int = 100) -> tuple[Moody, Clock, Outbox]:
    logger, clock = Moody(), Clock()
    return logger, clock, Outbox(logger, limit=limit, clock=clock)


def test_calls_are_given_at_once_while_all_is_well() -> None:
    logger, _, outbox = made()
    outbox.put(Call("log_hyperparams", "lr"))
    outbox.put(number(1), number(2))
    assert logger.taken == ["lr", 1, 2]
    assert outbox.complaints == []


def test_a_logger_that_fails_is_left_alone_for_longer_and_longer() -> None:
    logger, clock, outbox = made()
    logger.broken = True
    tried = []
    for second in range(400):
        clock.now = second
        before = logger.tries
        outbox.put(number(second))
        if logger.tries > before:
            tried.append(second)
    assert tried == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363]


def test_what_gathered_is_given_in_order_once_it_works(caplog: pytest.LogCaptureFixture) -> None:
    logger, clock, outbox = made()
    logger.broken = True
    for step in range(5):
        outbox.put(number(step))
    logger.broken = False
    outbox.put(number(5))
    assert logger.taken == []  # it is still left alone
    clock.now = 1.0
    with caplog.at_level(logging.INFO):
        outbox.put(number(6))
    assert logger.taken == [0, 1, 2, 3, 4, 5, 6]
    assert caplog.messages == ["Moody works again"]


def test_it_is_told_of_once() -> None:
    logger, clock, outbox = made()
    for second in range(0, 400, 40):
        clock.now = second
        logger.broken = not logger.broken
        outbox.put(number(second))
    assert outbox.complaints == [
        "Moody failed: ConnectionError: no route. Training goes on; what it was to log is kept, and tried again."
    ]


def test_a_call_that_it_refuses_does_not_hold_up_the_others() -> None:
    logger, clock, outbox = made()
    logger.refuses = {1, 4, 5}
    for step in range(8):
        outbox.put(number(step))
    assert logger.taken == [0]
    for _ in range(20):
        clock.now += 60
        outbox.put(number(8))
    assert logger.taken[:6] == [0, 2, 3, 6, 7, 8]
    outbox.close("success")
    assert outbox.complaints[-1] == "Moody did not take 3 calls made to it: ValueError: bad 5"


def test_a_refused_call_is_passed_over_at_the_end_too() -> None:
    logger, _, outbox = made()
    logger.refuses = {0}
    outbox.put(number(0), number(1))
    outbox.close("success")
    assert logger.taken == [1]
    assert outbox.complaints[-1] == "Moody did not take 1 call made to it: ValueError: bad 0"


def test_a_failure_at_the_end_is_tried_a_second_time() -> None:
    class Once(Moody):
        def save(self) -> None:
            self.broken = self.saves == 0
            super().save()

    logger = Once()
    outbox = Outbox(logger, clock=Clock())
    outbox.put(number(0))
    outbox.close("success")
    assert (logger.saves, logger.ended, outbox.failing) == (2, ["success"], False)


def test_the_oldest_are_given_up_when_too_many_wait() -> None:
    logger, clock, outbox = made(limit=3)
    logger.broken = True
    for step in range(8):
        outbox.put(number(step))
    logger.broken, clock.now = False, 10.0
    outbox.put(number(8))
    assert logger.taken == [6, 7, 8]
    outbox.close("success")
    assert outbox.complaints[-1] == "Moody did not take 6 calls made to it: ConnectionError: no route"


def test_what_is_left_at_the_end_is_counted() -> None:
    logger, _, outbox = made()
    logger.broken = True
    outbox.put(number(0), number(1))
    outbox.close("failed")
    assert logger.ended == ["failed"]
    assert len(outbox.complaints) == 2
    assert outbox.complaints[1] == "Moody did not take 2 calls made to it: ConnectionError: no route"


def test_it_is_saved_now_and_then_and_at_the_end() -> None:
    logger, clock, outbox = made()
    for tenth in range(1, 26):
        clock.now = tenth / 10
        outbox.put(number(tenth))
    assert logger.saves == 2
    outbox.flush()
    outbox.close("success")
    assert logger.saves == 4


def test_a_save_that_fails_is_a_failure() -> None:
    logger, clock, outbox = made()
    outbox.put(number(0))
    logger.broken = True
    outbox.flush()
    assert outbox.failing
    assert outbox.complaints == [
        "Moody failed: OSError: no space. Training goes on; what it was to log is kept, and tried again."
    ]
    logger.broken, clock.now = False, 10.0
    outbox.put(number(1))
    assert (outbox.failing, logger.taken, logger.saves) == (False, [0, 1], 2)


def test_methods_that_a_logger_does_not_have_are_not_called() -> None:
    class Bare:
        taken: list[int]

        def log_metrics(self, metrics: dict[str, float], *, step: int | None = None) -> None:
            self.taken = [*getattr(self, "taken", []), step or 0]

    logger = Bare()
    outbox = Outbox(logger)
    outbox.put(Call("log_hyperparams", {}), number(3), Call("after_save_checkpoint", None))
    outbox.at_once("log_graph", None, None)
    outbox.close("success")
    assert logger.taken == [3]
    assert outbox.complaints == []


def test_a_call_that_cannot_wait_is_made_once() -> None:
    class Untraceable(Moody):
        def log_graph(self, model: object) -> None:
            self.tries += 1
            raise TypeError("cannot be traced")

    logger = Untraceable()
    outbox = Outbox(logger, clock=Clock())
    outbox.at_once("log_graph", None)
    outbox.put(number(1))
    outbox.close("success")
    assert (logger.tries, logger.taken) == (2, [1])
    assert outbox.complaints == [
        "Untraceable.log_graph failed: TypeError: cannot be traced. Training goes on without it."
    ]


def test_records_are_given_together_to_a_logger_that_takes_several() -> None:
    class Bulk(Moody):
        def log_records(self, records: Sequence[Record]) -> None:
            self.tries += 1
            if self.broken:
                raise ConnectionError("no route")
            if any(record.step in self.refuses for record in records):
                raise ValueError("one is bad")
            self.taken.append([record.step for record in records])

    logger, clock = Bulk(), Clock()
    outbox = Outbox(logger, clock=clock)
    outbox.put(number(0), number(1), Call("log_hyperparams", "lr"), number(2), number(3))
    assert logger.taken == [[0, 1], "lr", [2, 3]]
    logger.taken, logger.refuses = [], {5}
    outbox.put(number(4), number(5), number(6), number(7))
    assert logger.taken == []
    for _ in range(5):
        clock.now += 60
        outbox.put()
    assert [step for steps in logger.taken for step in steps] == [4, 6, 7]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_passes_through(error: type[BaseException]) -> None:
    class Interrupted(Moody):
        def log_metrics(self, metrics: dict[str, float], step: int) -> None:
            raise error

    outbox = Outbox(Interrupted(), clock=Clock())
    with pytest.raises(error):
        outbox.put(number(0))
    with pytest.raises(error):
        outbox.flush()
