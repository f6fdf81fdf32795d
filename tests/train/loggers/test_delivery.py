from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch

from lifecycle.train.callbacks.base import Callback
from lifecycle.train.loggers import Delivery
from lifecycle.train.loggers.reading import Copy, Reading, read
from lifecycle.train.to_host import Sent
from tests.train.small import Recorder


class Arrival:
    """Stands in for a CUDA event: happens when it is told to, or when somebody waits for it."""

    def __init__(self) -> None:
        self.happened = False
        self.waited = False

    def query(self) -> bool:
        return self.happened

    def synchronize(self) -> None:
        self.waited = not self.happened


class Noted(Recorder):
    """A logger with every method; keeps in what order they are called."""

    def __init__(self, fails: str = "") -> None:
        super().__init__()
        self.calls: list[tuple[str, Any]] = []
        self._fails = fails

    def __getattribute__(self, name: str) -> Any:
        if name in ("log_hyperparams", "log_graph", "save", "finalize", "after_save_checkpoint"):
            return lambda *arguments: self._note(name, arguments)
        return super().__getattribute__(name)

    def _note(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.calls.append((name, arguments))
        if name == self._fails:
            raise RuntimeError("broken")


def on_its_way(step: int, value: float, event: Arrival, **others: float) -> Reading:
    copy = Copy(["loss"], Sent(torch.tensor([value], dtype=torch.float64), event))
    return Reading({"loss": math.nan, **others}, [copy], step, 0.0)


def test_numbers_on_the_cpu_are_read_at_once() -> None:
    recorder, loss = Recorder(), torch.tensor(0.5)
    delivery = Delivery([recorder])
    delivery.metrics({"loss": loss, "count": torch.tensor(3), "epoch": 0.0, "one": torch.tensor([2.0])}, 7)
    loss.zero_()
    assert recorder.sent == [(7, {"loss": 0.5, "count": 3, "epoch": 0.0, "one": 2.0})]
    assert type(recorder.sent[0][1]["count"]) is int


def test_every_logger_gets_its_own_copy() -> None:
    class Takes(Recorder):
        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            metrics.pop("loss")

    recorder = Recorder()
    Delivery([Takes(), recorder]).metrics({"loss": 0.5}, 0)
    assert recorder.sent == [(0, {"loss": 0.5})]


def test_numbers_of_a_gpu_are_delivered_in_order_when_they_have_arrived() -> None:
    recorder = Recorder()
    delivery = Delivery([recorder])
    first, second = Arrival(), Arrival()
    delivery.send(on_its_way(0, 0.5, first, epoch=0.0))
    delivery.metrics({"val": 1.0}, 1)
    delivery.send(on_its_way(2, 0.25, second))
    second.happened = True
    delivery.metrics({"val": 2.0}, 3)
    assert recorder.sent == []
    first.happened = True
    delivery.metrics({"val": 3.0}, 4)
    assert recorder.sent == [
        (0, {"loss": 0.5, "epoch": 0.0}),
        (1, {"val": 1.0}),
        (2, {"loss": 0.25}),
        (3, {"val": 2.0}),
        (4, {"val": 3.0}),
    ]
    assert list(recorder.sent[0][1]) == ["loss", "epoch"]
    assert not first.waited


@pytest.mark.parametrize("end", [Delivery.flush, lambda delivery: delivery.finalize("success")])
def test_at_the_end_those_on_their_way_are_waited_for(end: Any) -> None:
    recorder, event = Recorder(), Arrival()
    delivery = Delivery([recorder])
    delivery.send(on_its_way(0, 0.5, event))
    end(delivery)
    assert event.waited
    assert recorder.sent == [(0, {"loss": 0.5})]


def test_a_gpu_that_fails_does_not_keep_loggers_from_ending() -> None:
    class Lost(Arrival):
        def synchronize(self) -> None:
            raise RuntimeError("an illegal memory access was encountered")

    logger = Noted()
    delivery = Delivery([logger])
    delivery.send(on_its_way(0, 0.5, Lost()))
    delivery.metrics({"val": 1.0}, 1)
    with pytest.warns(
        UserWarning, match=r"^the last 2 records did not arrive from the GPU, .*illegal memory"
    ):
        delivery.finalize("failed")
    assert logger.calls[-1] == ("finalize", ("failed",))
    assert logger.sent == []


def test_a_logger_that_fails_takes_nothing_from_the_next() -> None:
    class Broken:
        def log_metrics(self, metrics: Any, step: int) -> None:
            raise ConnectionError("no route")

    recorder = Recorder()
    delivery = Delivery([Broken(), recorder])
    with pytest.warns(
        UserWarning, match=r"^Broken failed: ConnectionError: no route\. Training goes on"
    ) as told:
        for step in range(3):
            delivery.metrics({"loss": 0.5}, step)
    assert len(told) == 1
    assert [step for step, _ in recorder.sent] == [0, 1, 2]
    with pytest.warns(
        UserWarning, match=r"^Broken did not take 3 calls made to it: ConnectionError: no route$"
    ):
        delivery.finalize("success")


def test_everything_else_reaches_the_loggers() -> None:
    logger, module, callback = Noted(), torch.nn.Linear(1, 1), Callback()
    delivery = Delivery([logger, Recorder()])
    delivery.hyperparameters({"lr": 0.1})
    delivery.graph(module)
    delivery.after_save_checkpoint(callback)
    delivery.flush()
    delivery.finalize("aborted")
    assert logger.calls == [
        ("log_hyperparams", ({"lr": 0.1},)),
        ("log_graph", (module, None)),
        ("after_save_checkpoint", (callback,)),
        ("save", ()),
        ("save", ()),
        ("finalize", ("aborted",)),
    ]


@pytest.mark.parametrize(
    "method", ["log_hyperparams", "log_graph", "save", "finalize", "after_save_checkpoint"]
)
def test_whatever_fails_training_goes_on(method: str) -> None:
    logger = Noted(fails=method)
    delivery = Delivery([logger])
    with pytest.warns(UserWarning, match="RuntimeError: broken"):
        delivery.hyperparameters({"lr": 0.1})
        delivery.graph(torch.nn.Linear(1, 1))
        delivery.after_save_checkpoint(Callback())
        delivery.metrics({"loss": 0.5}, 0)
        delivery.flush()
        delivery.finalize("success")
    assert logger.sent == [(0, {"loss": 0.5})]
    assert logger.calls[-1][0] == "finalize"


def test_an_interrupt_passes_through() -> None:
    class Interrupted(Recorder):
        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Delivery([Interrupted()]).metrics({"loss": 0.5}, 0)


def test_without_loggers_nothing_is_read() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        delivery = Delivery([])
        delivery.metrics({"loss": object()}, 0)  # type: ignore[dict-item]
        delivery.finalize("success")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_numbers_of_a_real_gpu_arrive() -> None:
    loss, count = torch.tensor(0.5, device="cuda"), torch.tensor(4, device="cuda")
    reading = read({"loss": loss, "epoch": 3.0, "count": count}, 7)
    assert reading.record()[:2] == ({"loss": 0.5, "epoch": 3.0, "count": 4.0}, 7)
