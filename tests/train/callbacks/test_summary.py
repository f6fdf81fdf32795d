from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from lifecycle.callbacks import ModelSummary, RichModelSummary
from tests.train.callbacks.terminal import showing
from tests.train.small import Plain, loader

LOG = "lifecycle.train.callbacks.summary"


class Example(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.example_input_array = torch.zeros(2, 4)


def shown(summary: ModelSummary, caplog: pytest.LogCaptureFixture) -> str:
    caplog.set_level(logging.INFO, LOG)
    showing(callbacks=summary).fit(Example(), loader())
    return "\n".join(record.getMessage() for record in caplog.records if record.name == LOG)


def test_a_fit_begins_with_the_table(caplog: pytest.LogCaptureFixture) -> None:
    text = shown(ModelSummary(), caplog)
    assert "0 | net  | Sequential | 49     | train | 160   | [2, 4]   | [2, 1]" in text
    assert "49        Total params" in text
    assert "net.0" not in text


def test_its_depth_can_be_chosen(caplog: pytest.LogCaptureFixture) -> None:
    assert "net.3" in shown(ModelSummary(max_depth=-1), caplog)


def test_depth_0_shows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert shown(ModelSummary(max_depth=0), caplog) == ""


def test_another_way_to_show_it_can_be_written() -> None:
    given: dict[str, Any] = {}

    class Own(ModelSummary):
        @staticmethod
        def summarize(
            summary_data: Any,
            total_parameters: int,
            trainable_parameters: int,
            model_size: float,
            total_training_modes: Any,
            total_flops: int,
            **summarize_kwargs: Any,
        ) -> None:
            given.update(summarize_kwargs, columns=dict(summary_data), flops=total_flops, size=model_size)
            given.update(total=total_parameters, trainable=trainable_parameters, modes=total_training_modes)

    showing(callbacks=Own(colour="red")).fit(Example(), loader())
    assert given.pop("columns")["Name"] == ["net"]
    modes = {"train": 5, "eval": 0}
    assert given.pop("size") == pytest.approx(196e-6)
    assert given == {"colour": "red", "flops": 160, "total": 49, "trainable": 49, "modes": modes}


SCRIPT = """
from lifecycle.callbacks import ModelSummary
from tests.train.callbacks.terminal import showing
from tests.train.small import Plain, loader
showing(callbacks=ModelSummary()).fit(Plain(), loader())
"""


def test_a_script_that_sets_no_logging_up_sees_it() -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.startswith("  | Name | Type       | Params | Mode\n")
    assert "0 | net  | Sequential | 49     | train\n" in done.stderr


@contextmanager
def as_in_a_script() -> Iterator[None]:
    """Without the handlers that pytest has set up."""
    root = logging.root
    before = root.handlers, root.level
    root.handlers, root.level = [], logging.WARNING
    try:
        yield
    finally:
        root.handlers, root.level = before


def test_a_script_that_logs_finds_it_in_its_log(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with as_in_a_script():
        logging.basicConfig(level="INFO", format="[%(levelname)s] %(message)s")
        showing(callbacks=ModelSummary()).fit(Plain(), loader())
    err = capfd.readouterr().err
    assert err.count("| net  |") == 1
    assert "[INFO] \n  | Name | Type " in err


@pytest.mark.parametrize("callback", [ModelSummary, RichModelSummary])
@pytest.mark.parametrize(("level", "shown"), [(logging.WARNING, False), (logging.INFO, True)])
def test_a_script_can_silence_it(
    capfd: pytest.CaptureFixture[str], callback: type[ModelSummary], level: int, shown: bool
) -> None:
    logging.getLogger("lifecycle").setLevel(level)
    try:
        with as_in_a_script():
            showing(callbacks=callback()).fit(Plain(), loader())
    finally:
        logging.getLogger("lifecycle").setLevel(logging.NOTSET)
    assert ("Sequential" in capfd.readouterr().err) == shown


def test_rich_draws_it(capfd: pytest.CaptureFixture[str]) -> None:
    showing(callbacks=RichModelSummary(max_depth=2)).fit(Example(), loader())
    captured = capfd.readouterr()
    assert captured.out == ""
    for text in (
        "Name",
        "net.0",
        "[2, 8]",
        "Total params: 49",
        "Modules in train mode: 5",
        "Total FLOPs: 160",
    ):
        assert text in captured.err
