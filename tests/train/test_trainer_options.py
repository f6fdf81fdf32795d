"""That every argument of the trainer means what it means in Lightning."""

from __future__ import annotations

import inspect
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lifecycle as pl
from lifecycle.callbacks import ModelCheckpoint, ModelSummary, ProgressBar, Timer
from lifecycle.core.errors import UsageError
from lifecycle.profilers import SimpleProfiler
from lifecycle.train.precision import precision_of
from tests.train.course import Course, numbered, run, unnumbered
from tests.train.small import Plain, Recorder, loader, quiet, same, seeded

# Names, order and defaults of Lightning 2.6.6.
ARGUMENTS: dict[str, object] = {
    "accelerator": "auto",
    "strategy": "auto",
    "devices": "auto",
    "num_nodes": 1,
    "precision": None,
    "logger": None,
    "callbacks": None,
    "fast_dev_run": False,
    "max_epochs": None,
    "min_epochs": None,
    "max_steps": -1,
    "min_steps": None,
    "max_time": None,
    "limit_train_batches": None,
    "limit_val_batches": None,
    "limit_test_batches": None,
    "limit_predict_batches": None,
    "overfit_batches": 0.0,
    "val_check_interval": None,
    "check_val_every_n_epoch": 1,
    "num_sanity_val_steps": None,
    "log_every_n_steps": None,
    "enable_checkpointing": None,
    "enable_progress_bar": None,
    "enable_model_summary": None,
    "accumulate_grad_batches": 1,
    "gradient_clip_val": None,
    "gradient_clip_algorithm": None,
    "deterministic": None,
    "benchmark": None,
    "inference_mode": True,
    "use_distributed_sampler": True,
    "profiler": None,
    "detect_anomaly": False,
    "barebones": False,
    "plugins": None,
    "sync_batchnorm": False,
    "reload_dataloaders_every_n_epochs": 0,
    "default_root_dir": None,
    "enable_autolog_hparams": True,
    "model_registry": None,
}
# Our own, after them: what Lightning does not have.
OURS: dict[str, object] = {"compile": False, "channels_last": False, "fused": False}


def test_there_are_lightnings_arguments_then_ours_and_no_others() -> None:
    parameters = inspect.signature(pl.Trainer).parameters
    assert {name: parameter.default for name, parameter in parameters.items()} == ARGUMENTS | OURS
    assert list(parameters) == [*ARGUMENTS, *OURS]
    assert {parameter.kind for parameter in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}


WHOLE = "t0:012345 v0:01 t1:012345 v0:01"


@pytest.mark.parametrize(
    ("options", "course"),
    [
        ({}, WHOLE),
        # Limits
        ({"limit_train_batches": 3}, "t0:012 v0:01 t1:012 v0:01"),
        ({"limit_train_batches": 0.5}, "t0:012 v0:01 t1:012 v0:01"),
        ({"limit_train_batches": 1}, "t0:0 v0:01 t1:0 v0:01"),
        ({"limit_train_batches": 1.0}, WHOLE),
        ({"limit_train_batches": 99}, WHOLE),
        ({"limit_train_batches": 0}, ""),
        ({"limit_val_batches": 1}, "t0:012345 v0:0 t1:012345 v0:0"),
        ({"limit_val_batches": 0.5}, "t0:012345 v0:0 t1:012345 v0:0"),
        ({"limit_val_batches": 0}, "t0:012345 t1:012345"),
        ({"fast_dev_run": True}, "t0:0 v0:0"),
        ({"fast_dev_run": 1}, "t0:0 v0:0"),
        ({"fast_dev_run": 3}, "t0:012 v0:01"),
        (
            {
                "fast_dev_run": True,
                "max_epochs": 9,
                "max_steps": 9,
                "val_check_interval": 4,
                "limit_val_batches": 0,
            }
            | {"num_sanity_val_steps": 2, "check_val_every_n_epoch": 3},
            "t0:0 v0:0",
        ),
        ({"overfit_batches": 2}, "t0:01 v0:01 t1:01 v0:01"),
        ({"overfit_batches": 0.5}, "t0:012 v0:0 t1:012 v0:0"),
        ({"overfit_batches": 1, "limit_train_batches": 4, "limit_val_batches": 2}, "t0:0 v0:0 t1:0 v0:0"),
        # How long
        ({"max_epochs": 1}, "t0:012345 v0:01"),
        ({"max_epochs": 0}, ""),
        ({"max_steps": 0}, ""),
        ({"max_steps": 4}, "t0:0123"),
        ({"max_steps": 6, "max_epochs": -1}, "t0:012345 v0:01"),
        ({"max_steps": 8, "max_epochs": None}, "t0:012345 v0:01 t1:01"),
        ({"max_steps": 8, "max_epochs": 1}, "t0:012345 v0:01"),
        ({"max_steps": 2, "accumulate_grad_batches": 4, "max_epochs": -1}, "t0:012345 v0:01"),
        ({"max_steps": 3, "accumulate_grad_batches": 4, "max_epochs": -1}, "t0:012345 v0:01 t1:0123"),
        ({"max_time": "00:00:00:00"}, ""),
        ({"max_time": {"hours": 1}}, WHOLE),
        ({"max_time": timedelta(0), "max_epochs": None}, ""),
        # When to validate
        (
            {"val_check_interval": 2},
            "t0:01 v0:01 t0:23 v0:01 t0:45 v0:01 t1:01 v0:01 t1:23 v0:01 t1:45 v0:01",
        ),
        ({"val_check_interval": 4}, "t0:0123 v0:01 t0:45 t1:0123 v0:01 t1:45"),
        ({"val_check_interval": 0.5}, "t0:012 v0:01 t0:345 v0:01 t1:012 v0:01 t1:345 v0:01"),
        ({"val_check_interval": 0.4, "max_epochs": 1}, "t0:01 v0:01 t0:23 v0:01 t0:45 v0:01"),
        ({"val_check_interval": 1.0}, WHOLE),
        (
            {"val_check_interval": 4, "check_val_every_n_epoch": None},
            "t0:0123 v0:01 t0:45 t1:01 v0:01 t1:2345 v0:01",
        ),
        ({"val_check_interval": 9, "check_val_every_n_epoch": None}, "t0:012345 t1:012 v0:01 t1:345"),
        ({"check_val_every_n_epoch": None}, WHOLE),
        ({"val_check_interval": 9, "limit_val_batches": 0}, "t0:012345 t1:012345"),
        ({"val_check_interval": "00:01:00:00"}, "t0:012345 t1:012345"),
        ({"val_check_interval": {"hours": 1}}, "t0:012345 t1:012345"),
        (
            {"val_check_interval": timedelta(0), "limit_train_batches": 2, "limit_val_batches": 1},
            "t0:0 v0:0 t0:1 v0:0 t1:0 v0:0 t1:1 v0:0",
        ),
        (
            {"val_check_interval": timedelta(0), "limit_train_batches": 2, "check_val_every_n_epoch": 2},
            "t0:01 t1:0 v0:01 t1:1 v0:01",
        ),
        ({"check_val_every_n_epoch": 2}, "t0:012345 t1:012345 v0:01"),
        ({"check_val_every_n_epoch": 2, "max_epochs": 3}, "t0:012345 t1:012345 v0:01 t2:012345"),
        ({"num_sanity_val_steps": None}, f"s0:01 {WHOLE}"),
        ({"num_sanity_val_steps": 1}, f"s0:0 {WHOLE}"),
        ({"num_sanity_val_steps": -1}, f"s0:01 {WHOLE}"),
        ({"num_sanity_val_steps": 9}, f"s0:01 {WHOLE}"),
        ({"num_sanity_val_steps": 2, "limit_val_batches": 1}, "s0:0 t0:012345 v0:0 t1:012345 v0:0"),
        ({"num_sanity_val_steps": 2, "limit_val_batches": 0}, "t0:012345 t1:012345"),
        # Switches that change no course
        ({"use_distributed_sampler": False, "sync_batchnorm": True, "num_nodes": 1, "devices": 1}, WHOLE),
        ({"accelerator": "cpu", "strategy": "auto", "devices": "auto", "model_registry": "name"}, WHOLE),
    ],
)
def test_the_course_of_a_fit(options: Any, course: str) -> None:
    assert run(**options)[0] == course


def test_data_without_a_length() -> None:
    def course(**options: Any) -> str:
        return run(unnumbered, lambda: unnumbered(2), **options)[0]

    assert course() == WHOLE
    assert course(limit_train_batches=3, limit_val_batches=1) == "t0:012 v0:0 t1:012 v0:0"
    assert course(val_check_interval=4) == "t0:0123 v0:01 t0:45 t1:0123 v0:01 t1:45"
    assert course(num_sanity_val_steps=-1, max_steps=3) == "s0:01 t0:012"
    assert course(accumulate_grad_batches=4, max_steps=2) == "t0:012345 v0:01"
    for options in ({"limit_train_batches": 0.5}, {"val_check_interval": 0.5}):
        with pytest.raises(UsageError, match="length"):
            course(**options)


@pytest.mark.parametrize(
    ("stop", "options", "course"),
    [
        ((0, 3), {}, "t0:0123 v0:01"),
        ((0, 3), {"val_check_interval": 2}, "t0:01 v0:01 t0:23 v0:01"),
        ((0, 5), {}, "t0:012345 v0:01"),
        ((0, 3), {"min_epochs": 1}, "t0:012345 v0:01"),
        ((0, 3), {"min_epochs": 2}, WHOLE),
        ((0, 3), {"min_steps": 5}, "t0:012345 v0:01"),
        ((0, 3), {"min_steps": 5, "min_epochs": 0}, "t0:01234 v0:01"),
        ((0, 3), {"min_steps": 9}, "t0:012345 v0:01 t1:012 v0:01"),
        ((0, 3), {"min_epochs": 2, "min_steps": 14}, f"{WHOLE} t2:01 v0:01"),
        ((0, 2), {"accumulate_grad_batches": 4}, "t0:012 v0:01"),
    ],
)
def test_a_request_to_stop_waits_for_the_least_epochs_and_steps(
    stop: tuple[int, int], options: Any, course: str
) -> None:
    assert run(stop=stop, **{"max_epochs": 4, **options})[0] == course


def test_a_request_to_stop_is_of_one_fit() -> None:
    trainer, module = quiet(max_epochs=3), Course(stop=(0, 1))
    trainer.fit(module, numbered())
    assert (trainer.should_stop, trainer.current_epoch, trainer.global_step) == (True, 1, 2)
    trainer.fit(module, numbered())
    assert (trainer.should_stop, trainer.current_epoch, trainer.global_step) == (False, 3, 14)


@pytest.mark.parametrize(
    ("options", "course"),
    [
        ({}, "v0:0123 v0:012 e0:0123 p0:0123"),
        (
            {"limit_val_batches": 1, "limit_test_batches": 2, "limit_predict_batches": 0.75},
            "v0:0 v0:0 e0:01 p0:012",
        ),
        ({"fast_dev_run": 2}, "v0:01 v0:01 e0:01 p0:01"),
        ({"limit_test_batches": 0}, "v0:0123 v0:012 p0:0123"),
        ({"overfit_batches": 1}, "v0:0 v0:0 e0:0123 p0:0123"),
    ],
)
def test_the_course_of_the_other_verbs(options: Any, course: str) -> None:
    trainer, module = quiet(**options), Course()
    trainer.validate(module, numbered(4), verbose=False)
    trainer.validate(module, numbered(3), verbose=False)
    trainer.test(module, numbered(4), verbose=False)
    trainer.predict(module, numbered(4))
    assert module.line() == course


def test_without_batches_a_verb_gives_nothing() -> None:
    trainer = quiet(limit_val_batches=0, limit_test_batches=0, limit_predict_batches=0)
    assert trainer.validate(Course(), numbered()) == trainer.test(Course(), numbered()) == []
    assert trainer.predict(Course(), numbered()) is None


def test_predictions_are_a_list_for_each_loader_or_nothing() -> None:
    trainer, module = quiet(), Course()
    assert trainer.predict(module, numbered(3)) == [0, 1, 2]
    assert trainer.predict(module, [numbered(3), numbered(1)]) == [[0, 1, 2], [0]]
    assert trainer.predict(module, numbered(3), return_predictions=False) is None


def test_loaders_are_read_in_their_turn() -> None:
    assert run(val=lambda: [numbered(2), numbered(1)], num_sanity_val_steps=1, max_epochs=1)[0] == (
        "s0:0 s1:0 t0:012345 v0:01 v1:0"
    )
    assert run(val=lambda: {"a": numbered(2), "b": numbered(1)}, max_epochs=1)[0] == "t0:012345 v0:01 v1:0"


def test_overfitted_batches_are_always_the_same() -> None:
    def course(**options: Any) -> str:
        return run(
            lambda: numbered(shuffle=True), lambda: numbered(4, shuffle=True), max_epochs=3, **options
        )[0]

    assert course(overfit_batches=2) == "t0:01 v0:01 t1:01 v0:01 t2:01 v0:01"
    assert course(limit_train_batches=2, limit_val_batches=2) != "t0:01 v0:01 t1:01 v0:01 t2:01 v0:01"


def test_loaders_are_asked_for_anew_every_so_many_epochs() -> None:
    def asked(every: int, **options: Any) -> list[str]:
        told: list[str] = []

        class Asked(Course):
            def train_dataloader(self) -> Any:
                told.append(f"train {self.current_epoch}")
                return numbered(1)

            def val_dataloader(self) -> Any:
                told.append(f"val {self.current_epoch}")
                return numbered(1)

        settings = {"max_epochs": 4, "num_sanity_val_steps": 0, **options}
        quiet(reload_dataloaders_every_n_epochs=every, **settings).fit(Asked())
        return told

    assert asked(0) == ["train 0", "val 0"]
    assert asked(1) == [f"{split} {epoch}" for epoch in range(4) for split in ("train", "val")]
    assert asked(2) == ["train 0", "val 0", "train 2", "val 2"]
    # Those of validation count from the epoch in which they were needed.
    assert asked(2, check_val_every_n_epoch=2) == ["train 0", "val 1", "train 2", "val 3"]
    assert asked(1, num_sanity_val_steps=1, max_epochs=1) == ["val 0", "train 0"]


# Switches


def states(**options: Any) -> list[Any]:
    """What a training step and a step that scores find torch to be like."""
    found: list[Any] = []

    class See(Plain):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            found.append(
                (
                    torch.are_deterministic_algorithms_enabled(),
                    torch.is_deterministic_algorithms_warn_only_enabled(),
                    torch.backends.cudnn.benchmark,
                    torch.is_anomaly_enabled(),
                )
            )
            return super().training_step(batch, batch_idx)

    before = torch.backends.cudnn.benchmark
    quiet(limit_train_batches=1, **options).fit(See(), loader())
    assert not torch.are_deterministic_algorithms_enabled() and not torch.is_anomaly_enabled()
    assert torch.backends.cudnn.benchmark == before
    return list(found[0])


def test_torchs_switches_last_as_long_as_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert states() == states(deterministic=False) == [False, False, False, False]
    assert states(deterministic=True) == [True, False, False, False]
    assert states(deterministic="warn") == [True, True, False, False]
    assert states(benchmark=True) == [False, False, True, False]
    assert states(deterministic=True, benchmark=True) == [True, False, True, False]
    assert states(detect_anomaly=True) == [False, False, False, True]
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    assert states() == [False, False, True, False]
    assert states(deterministic=True) == [True, False, False, False]
    assert states(benchmark=False) == [False, False, False, False]


@pytest.mark.parametrize("inference_mode", [True, False])
def test_inference_mode_is_for_the_other_verbs_alone(inference_mode: bool) -> None:
    """What a validation within a fit keeps may be needed in training."""
    found: list[tuple[bool, bool]] = []

    class See(Course):
        def validation_step(self, *given: Any) -> None:
            found.append((torch.is_inference_mode_enabled(), torch.is_grad_enabled()))

        test_step = predict_step = validation_step  # type: ignore[assignment]

    trainer, module = quiet(inference_mode=inference_mode, limit_val_batches=1, num_sanity_val_steps=1), See()
    trainer.fit(module, numbered(1), numbered(1))
    trainer.validate(module, numbered(1), verbose=False)
    trainer.test(module, numbered(1), verbose=False)
    trainer.predict(module, numbered(1))
    assert found == [(False, False)] * 2 + [(inference_mode, False)] * 3


def test_an_anomaly_is_found_where_it_arises() -> None:
    class Broken(Plain):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            return (self(batch[0]) * 0).sum().sqrt()

    with (
        pytest.warns(UserWarning),
        pytest.raises(RuntimeError, match=r"^Function 'MulBackward0' returned nan values in its 0th output"),
    ):
        quiet(detect_anomaly=True).fit(Broken(), loader())


@pytest.mark.parametrize(
    "options",
    [
        {"enable_checkpointing": True},
        {"logger": True},
        {"enable_progress_bar": True},
        {"log_every_n_steps": 5},
        {"enable_model_summary": True},
        {"num_sanity_val_steps": 2},
        {"fast_dev_run": True},
        {"detect_anomaly": True},
        {"profiler": "simple"},
    ],
)
def test_barebones_leaves_out_what_costs_time(options: dict[str, Any]) -> None:
    trainer = pl.Trainer(barebones=True, max_epochs=1)
    assert (trainer.callbacks, trainer.loggers, trainer.num_sanity_val_steps) == ([], [], 0)
    assert trainer.log_every_n_steps == 0
    module = Course()
    trainer.fit(module, numbered(), numbered(2))
    assert module.line() == "t0:012345 v0:01"
    ((name, value),) = options.items()
    with pytest.raises(UsageError) as refused:
        pl.Trainer(barebones=True, **options)
    assert str(refused.value) == (
        f"Trainer(barebones=True, {name}={value!r}): barebones switches off whatever costs time; leave {name} out"
    )


def test_a_precision_is_named_or_a_plugin() -> None:
    for options in ({"precision": "64-true"}, {"plugins": precision_of("64-true", torch.device("cpu"))}):
        trainer, module = quiet(**options), Plain()
        trainer.fit(module, loader())
        assert trainer.precision == "64-true"
        assert module.net[0].weight.dtype == torch.float64


def test_a_profiler_tells_where_the_time_goes(tmp_path: Path) -> None:
    class Kept(Plain):
        """Steps by itself, and is seen to do so no differently."""

    profiler, keep = SimpleProfiler(), ModelCheckpoint(tmp_path)
    trainer = quiet(max_epochs=2, profiler=profiler, callbacks=keep, num_sanity_val_steps=0)
    module, expected = seeded(Kept), seeded(Kept)
    trainer.fit(module, loader(), loader())
    counts = {name: found.count for name, found in profiler.recorded.items()}
    assert {name: count for name, count in counts.items() if not name.startswith("[Callback]")} == {
        "run_training_epoch": 2,
        "[_TrainingEpochLoop].train_dataloader_next": 14,  # with the two that find no further batch
        "run_training_batch": 12,
        "[LightningModule]Kept.optimizer_step": 12,
        "[Strategy]SingleDeviceStrategy.training_step": 12,
        "[Strategy]SingleDeviceStrategy.backward": 12,
        "[_EvaluationLoop].val_next": 14,
        "[Strategy]SingleDeviceStrategy.validation_step": 12,
        "save_checkpoint": 2,
    }
    quiet(max_epochs=2).fit(expected, loader(), loader())
    assert same(module.state_dict(), expected.state_dict())


def test_a_profiler_is_named(caplog: pytest.LogCaptureFixture) -> None:
    trainer = quiet(profiler="simple", limit_train_batches=2)
    assert isinstance(trainer.profiler, SimpleProfiler)
    trainer.fit(Plain(), loader())
    (line,) = (line for line in caplog.text.splitlines() if line.startswith("run_training_batch"))
    assert line.split()[2] == "2"  # calls
    with pytest.raises(UsageError):
        quiet(profiler="quick")


# What is switched on by default


def test_files_bars_and_summaries_can_be_left_out(tmp_path: Path) -> None:
    silent = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    trainer = pl.Trainer(**silent, enable_progress_bar=False, max_epochs=1)
    assert trainer.callbacks == []
    trainer.fit(Plain(), loader())
    assert list(tmp_path.iterdir()) == []
    for option, kind in (
        ("enable_checkpointing", ModelCheckpoint),
        ("enable_progress_bar", ProgressBar),
        ("enable_model_summary", ModelSummary),
    ):
        (callback,) = quiet(**{option: True}).callbacks
        assert isinstance(callback, kind)


def test_a_time_limit_is_a_timer() -> None:
    (timer,) = quiet(max_time="00:01:00:00").callbacks
    assert isinstance(timer, Timer)
    assert [
        type(callback) for callback in quiet(callbacks=Timer("00:00:05:00"), max_time="00:01:00:00").callbacks
    ] == [Timer]


def test_what_is_switched_off_is_not_to_be_passed(tmp_path: Path) -> None:
    silent = {"enable_checkpointing": False, "enable_progress_bar": False}
    for options in (silent, {"barebones": True}):
        for callback, switch in (
            (ModelCheckpoint(tmp_path), "enable_checkpointing"),
            (ProgressBar(), "enable_progress_bar"),
        ):
            with pytest.raises(UsageError) as refused:
                pl.Trainer(callbacks=[callback], **options)
            name = type(callback).__name__
            told = f"Trainer({switch}=False) was given a {name} among its callbacks: say one of them"
            assert str(refused.value) == told
    with pytest.raises(
        UsageError, match=r"^there are 2 progress bars among the callbacks \(ProgressBar, Pro"
    ):
        pl.Trainer(callbacks=[ProgressBar(), ProgressBar()])


def test_a_trial_run_writes_nothing(tmp_path: Path) -> None:
    recorder = Recorder()
    trainer = pl.Trainer(
        fast_dev_run=True, logger=recorder, enable_progress_bar=False, default_root_dir=tmp_path
    )
    trainer.fit(Plain(), loader(), loader())
    assert recorder.sent == [] and trainer.checkpoint_callback is None
    assert list(tmp_path.iterdir()) == []
    assert (trainer.max_epochs, trainer.max_steps, trainer.num_sanity_val_steps) == (1, 1, 0)


def test_the_root_folder_is_where_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert quiet(default_root_dir=tmp_path / "runs").default_root_dir == str(tmp_path / "runs")
    trainer = quiet()
    monkeypatch.chdir("/")
    assert trainer.default_root_dir == str(tmp_path)  # the folder that was the current one then


class Hyper(Recorder):
    """Keeps hyperparameters too."""

    def __init__(self) -> None:
        super().__init__()
        self.hyperparameters: list[dict[str, Any]] = []

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        self.hyperparameters.append(dict(params))


def test_hyperparameters_are_logged_unless_that_is_switched_off() -> None:
    class Quietly(Course):
        def __init__(self, size: int, *, tell: bool = True) -> None:
            super().__init__()
            self.save_hyperparameters("size", logger=tell)

    class Data(pl.DataModule):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.save_hyperparameters()

        def train_dataloader(self) -> Any:
            return numbered(1)

        val_dataloader = train_dataloader

    def told(module: pl.Module, data: pl.DataModule | None = None, **options: Any) -> list[dict[str, Any]]:
        logger = Hyper()
        trainer = quiet(logger=logger, **options)
        trainer.fit(module, *(() if data else (numbered(1),)), datamodule=data)
        return logger.hyperparameters

    assert told(Quietly(3)) == [{"size": 3}]
    assert told(Quietly(3), enable_autolog_hparams=False) == []
    assert told(Quietly(3, tell=False)) == told(Course()) == []
    assert told(Quietly(3), Data(3)) == told(Course(), Data(3)) == [{"size": 3}]
    with pytest.raises(UsageError) as refused:
        told(Quietly(3), Data(4))
    assert str(refused.value) == (
        "hyperparameter 'size' is 3 for the module and 4 for its data; logged together, they need names of their "
        "own\nPass logger=False to one of the two calls of save_hyperparameters."
    )


def test_devices_that_are_not_there_are_refused() -> None:
    for options in ({"devices": [0, 1]}, {"num_nodes": 2}, {"strategy": "single_device", "devices": 2}):
        with pytest.raises(UsageError):
            quiet(**options)
    assert quiet(devices=2).world_size == quiet(devices=2, strategy="ddp").num_devices == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_epochs": -2}, "Trainer(max_epochs=-2): expected a whole number of at least -1"),
        ({"max_steps": -2}, "Trainer(max_steps=-2): expected a whole number of at least -1"),
        ({"min_epochs": -1}, "Trainer(min_epochs=-1): expected a whole number of at least 0"),
        ({"min_steps": 0.5}, "Trainer(min_steps=0.5): expected a whole number of at least 0"),
        ({"fast_dev_run": -1}, "Trainer(fast_dev_run=-1): expected a whole number of at least 0"),
        (
            {"accumulate_grad_batches": 0},
            "Trainer(accumulate_grad_batches=0): expected a whole number of at least 1",
        ),
        (
            {"check_val_every_n_epoch": 0},
            "Trainer(check_val_every_n_epoch=0): expected a whole number of at least 1",
        ),
        (
            {"num_sanity_val_steps": -2},
            "Trainer(num_sanity_val_steps=-2): expected a whole number of at least -1",
        ),
        ({"log_every_n_steps": -1}, "Trainer(log_every_n_steps=-1): expected a whole number of at least 0"),
        (
            {"reload_dataloaders_every_n_epochs": -1},
            "Trainer(reload_dataloaders_every_n_epochs=-1): expected a whole number of at least 0",
        ),
    ],
)
def test_other_numbers_are_refused(options: Any, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        quiet(**options)
    assert str(refused.value) == message
