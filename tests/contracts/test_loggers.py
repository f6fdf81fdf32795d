"""What holds for every logger, against real files and stores."""

from __future__ import annotations

import math
import warnings
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from lifecycle.train.callbacks.base import Callback
from lifecycle.train.loggers import Delivery
from tests.train.loggers.stores import KINDS, Clock, Kept, kept, same
from tests.train.small import Plain, Recorder, loader, quiet


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path, empty_store: Path) -> Kept:
    return kept(request.param, tmp_path, empty_store)


def test_numbers_are_read_back_at_their_steps(store: Kept) -> None:
    logger = store.make()
    logger.log_metrics({"loss": 0.5, "val/acc": 0.125}, step=3)
    logger.log_metrics({"loss": 0.25}, step=7)
    logger.save()
    assert store.history(logger) == {"loss": [(3, 0.5), (7, 0.25)], "val/acc": [(3, 0.125)]}
    logger.log_metrics({"new": 1.0}, step=9)
    logger.finalize("success")
    assert store.history(logger)["new"] == [(9, 1.0)]


def test_tensors_of_one_element_are_numbers(store: Kept) -> None:
    logger = store.make()
    logger.log_metrics({"loss": torch.tensor(0.5), "count": torch.tensor([3])}, step=0)  # type: ignore[dict-item]
    logger.finalize("success")
    assert store.history(logger) == {"loss": [(0, 0.5)], "count": [(0, 3.0)]}


def test_what_diverges_is_seen(store: Kept) -> None:
    logger = store.make()
    logger.log_metrics({"loss": 1.0}, step=0)
    logger.log_metrics({"loss": math.nan}, step=1)
    logger.finalize("success")
    assert same(store.history(logger), {"loss": [(0, 1.0), (1, math.nan)]})


def test_hyperparameters_are_read_back(store: Kept) -> None:
    logger = store.make()
    logger.log_hyperparams({"lr": 0.1, "net": {"width": 8}, "path": Path("a/b"), "seed": None})
    logger.log_hyperparams(Namespace(epochs=3))
    logger.finalize("success")
    expected = {"lr": "0.1", "net/width": "8", "path": "a/b", "seed": "None", "epochs": "3"}
    assert store.hyperparameters(logger) == expected


def test_names_begin_with_the_prefix(store: Kept) -> None:
    logger = store.make(prefix="student")
    logger.log_metrics({"loss": 0.5}, step=0)
    logger.finalize("success")
    assert list(store.history(logger)) == ["student-loss"]


def test_a_run_is_continued(store: Kept) -> None:
    first = store.make()
    first.log_metrics({"loss": 0.5}, step=0)
    first.log_hyperparams({"lr": 0.5})
    first.finalize("failed")
    second = store.again(first)
    second.log_metrics({"acc": 0.75, "loss": 0.25}, step=1)
    second.log_hyperparams({"lr": 0.5})
    second.finalize("success")
    assert second.version == first.version
    assert store.history(first) == {"loss": [(0, 0.5), (1, 0.25)], "acc": [(1, 0.75)]}
    assert store.hyperparameters(first) == {"lr": "0.5"}


def test_what_is_logged_after_the_end_is_kept(store: Kept) -> None:
    logger = store.make()
    logger.log_metrics({"loss": 0.5}, step=0)
    logger.finalize("success")
    logger.log_metrics({"test_loss": 0.25}, step=1)
    logger.finalize("success")
    assert store.history(logger) == {"loss": [(0, 0.5)], "test_loss": [(1, 0.25)]}


def test_two_runs_are_two_versions_of_one_name(store: Kept) -> None:
    first, second = store.make(), store.make()
    first.log_metrics({"loss": 1.0}, step=0)
    second.log_metrics({"loss": 2.0}, step=0)
    for logger in (first, second):
        logger.finalize("success")
    assert first.name == second.name
    assert first.version != second.version
    assert first.log_dir is None or first.log_dir != second.log_dir
    assert [store.history(logger)["loss"] for logger in (first, second)] == [[(0, 1.0)], [(0, 2.0)]]


def test_nothing_is_written_before_something_is_logged(store: Kept) -> None:
    logger = store.make()
    before = sorted(store.folder.rglob("*"))
    logger.save()
    logger.finalize("success")
    assert (logger.save_dir, logger.group_separator) == (str(store.blocked), "/")
    assert sorted(store.folder.rglob("*")) == before


def test_what_a_logger_has_no_use_for_is_taken(store: Kept) -> None:
    logger = store.make()
    logger.log_graph(torch.nn.Linear(1, 1), torch.zeros(1))
    logger.after_save_checkpoint(Callback())
    logger.log_hyperparams({})
    logger.finalize("success")


def test_a_store_that_fails_gets_everything_once_it_works(store: Kept) -> None:
    store.blocked.write_text("in the way")
    logger, clock = store.make(), Clock()
    delivery = Delivery([logger], clock=clock)
    with pytest.warns(
        UserWarning, match=f"^{type(logger).__name__} failed: .*is kept, and tried again"
    ) as told:
        delivery.hyperparameters({"lr": 0.5})
        delivery.metrics({"loss": torch.tensor(0.5)}, step=0)
        delivery.flush()
        delivery.metrics({"loss": 0.25}, step=1)
    assert len(told) == 1
    store.repair()
    clock.now += 100
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        delivery.metrics({"loss": 0.125}, step=2)
        delivery.finalize("success")
    assert store.history(logger) == {"loss": [(0, 0.5), (1, 0.25), (2, 0.125)]}
    assert store.hyperparameters(logger) == {"lr": "0.5"}


def test_a_store_that_never_works_is_told_of_at_the_end(store: Kept) -> None:
    store.blocked.write_text("in the way")
    logger = store.make()
    delivery = Delivery([logger])
    name = type(logger).__name__
    with pytest.warns(UserWarning) as told:
        for step in range(3):
            delivery.metrics({"loss": 0.5}, step)
        delivery.finalize("success")
    texts = [str(warning.message) for warning in told]
    assert texts[0].startswith(f"{name} failed: ")
    assert texts[-1].startswith(f"{name} did not take 3 calls made to it: ")


def test_a_fit_is_in_the_store_when_it_returns(store: Kept, tmp_path: Path) -> None:
    logger = store.make()
    trainer = quiet(
        max_epochs=2,
        logger=logger,
        log_every_n_steps=3,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(Plain(lr=0.03125), loader(workers=2), loader())
    found = store.history(logger)
    assert {name: len(values) for name, values in found.items() if name != "epoch"} == {
        "train_loss_step": 4,
        "train_loss_epoch": 2,
        "val_loss": 2,
    }
    assert found["val_loss"][-1][1] == pytest.approx(float(trainer.callback_metrics["val_loss"]))
    assert store.hyperparameters(logger)["lr"] == "0.03125"


def test_a_fit_survives_a_store_that_never_works(store: Kept, tmp_path: Path) -> None:
    store.blocked.write_text("in the way")
    recorder = Recorder()
    trainer = quiet(
        logger=[store.make(), recorder],
        log_every_n_steps=1,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    with pytest.warns(UserWarning, match="failed: |did not take"):
        trainer.fit(Plain(), loader())
    assert trainer.global_step == 6
    assert len(recorder.sent) == 7


@pytest.mark.parametrize("name", ["csv", "tensorboard", "mlflow"])
def test_every_kind_is_offered_by_name(name: str) -> None:
    import lifecycle.loggers

    assert len([kind for kind in lifecycle.loggers.__all__ if kind.lower() == f"{name}logger"]) == 1
