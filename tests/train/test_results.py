"""Who sees which number when: callbacks, the progress bar and loggers, as in Lightning."""

from __future__ import annotations

from typing import Any

import pytest

import lifecycle as pl
from lifecycle.callbacks import EarlyStopping
from tests.train.logged import MEAN, VALUES, Logged, Logging, floats, ten, value
from tests.train.small import Plain, Recorder, quiet

# Short for what a test sees: t the training step's value, e its epoch's mean alone, b both, v the validation's.
TRAIN = {"t": VALUES[-1], "b": VALUES[-1], "b_step": VALUES[-1]}
TRAINED = {"t": VALUES[-1], "e": MEAN, "b": MEAN, "b_step": VALUES[-1], "b_epoch": MEAN}
SCORED = {"v": MEAN, "w": MEAN, "w_epoch": MEAN}


def of_batch(index: int) -> dict[str, float]:
    return dict.fromkeys(("t", "b", "b_step"), VALUES[index])


def train(module: Any, index: int) -> None:
    module.log("t", value(index))
    module.log("e", value(index), on_step=False, on_epoch=True)
    module.log("b", value(index), on_step=True, on_epoch=True)


def score(module: Any, index: int, *loader: int) -> None:
    module.log("v", value(index))
    module.log("w", value(index), on_step=True)


class See(pl.Callback):
    """Notes the metrics that it finds in each hook."""

    def __init__(self, which: str = "callback_metrics") -> None:
        self.which = which
        self.seen: list[tuple[str, Any]] = []


def looking(hook: str) -> Any:
    def look(self: See, trainer: pl.Trainer, pl_module: pl.Module, *given: object) -> None:
        self.seen.append((hook, floats(getattr(trainer, self.which))))

    return look


for _moment in ("start", "epoch_start", "batch_start", "batch_end", "epoch_end", "end"):
    for _kind in ("train", "validation"):
        setattr(See, f"on_{_kind}_{_moment}", looking(f"on_{_kind}_{_moment}"))
for _hook in ("on_fit_start", "on_sanity_check_start", "on_sanity_check_end", "on_fit_end"):
    setattr(See, _hook, looking(_hook))


def test_what_callbacks_see_in_each_hook_of_a_fit() -> None:
    see = See()
    Logged(Logging(train, score), callbacks=[see], max_epochs=2)
    first: list[tuple[str, dict[str, float]]] = [("on_fit_start", {}), ("on_train_start", {})]
    before: dict[str, float] = {}
    for _ in range(2):
        first.append(("on_train_epoch_start", before))
        for index in range(3):
            first.append(("on_train_batch_start", before))
            before = before | of_batch(index)
            first.append(("on_train_batch_end", before))
        first += [(f"on_validation_{moment}", before) for moment in ("start", "epoch_start")]
        first += [(f"on_validation_batch_{moment}", before) for _ in range(3) for moment in ("start", "end")]
        before = before | SCORED
        first += [("on_validation_epoch_end", before), ("on_validation_end", before)]
        before = before | TRAINED
        first.append(("on_train_epoch_end", before))
    first += [("on_train_end", before), ("on_fit_end", before)]
    assert see.seen == [(hook, floats(metrics)) for hook, metrics in first]


def test_the_first_steps_of_an_epoch_are_seen_beside_the_last_epochs_values() -> None:
    see = See()
    Logged(Logging(train), callbacks=[see], max_epochs=2, limit_val_batches=0)
    second = [metrics for hook, metrics in see.seen if hook == "on_train_batch_end"][3]
    assert second == floats(TRAINED | of_batch(0))


def test_the_short_validation_has_values_of_its_own_that_are_gone_when_it_ends() -> None:
    see = See()
    Logged(Logging(train, score), callbacks=[see], num_sanity_val_steps=1)
    alone = dict.fromkeys(("v", "w", "w_epoch"), VALUES[0])
    until = [hook for hook, _ in see.seen].index("on_train_start")
    assert see.seen[: until + 1] == [
        ("on_fit_start", {}),
        ("on_sanity_check_start", {}),
        *((f"on_validation_{moment}", {}) for moment in ("start", "epoch_start", "batch_start", "batch_end")),
        *((hook, floats(alone)) for hook in ("on_validation_epoch_end", "on_validation_end")),
        ("on_sanity_check_end", floats(alone)),
        ("on_train_start", {}),
    ]


def test_the_values_of_a_loader_are_there_when_the_next_begins() -> None:
    see = See()
    Logged(Logging(score=score), "validate", callbacks=[see], loaders=2)
    first = {f"{name}/dataloader_idx_0": MEAN for name in SCORED}
    starts = [metrics for hook, metrics in see.seen if hook == "on_validation_batch_start"]
    assert starts == [{}] * 3 + [floats(first)] * 3


def test_the_bar_and_loggers_see_values_of_validation_steps_too() -> None:
    """Callbacks do not."""

    def shown(module: Any, index: int) -> None:
        module.log("w", value(index), on_step=True, prog_bar=True)

    for which in ("logged_metrics", "progress_bar_metrics"):
        see = See(which)
        Logged(Logging(score=shown), callbacks=[see])
        ends = [metrics for hook, metrics in see.seen if hook == "on_validation_batch_end"]
        assert ends == [{"w_step": VALUES[index]} for index in range(3)]
        assert see.seen[-1][1] == floats({"w_step": VALUES[-1], "w_epoch": MEAN})


def test_a_value_is_there_as_soon_as_it_is_logged() -> None:
    seen = []

    class Reads(Logging):
        def on_train_epoch_end(self) -> None:
            self.log("end", 3.0)
            seen.append(float(self.trainer.callback_metrics["end"]))  # type: ignore[union-attr]

        def on_validation_epoch_end(self) -> None:
            self.log("val_end", 4.0)
            seen.append(float(self.trainer.callback_metrics["val_end"]))  # type: ignore[union-attr]

    Logged(Reads())
    assert seen == [4.0, 3.0]


def test_a_callback_that_monitors_sees_what_the_modules_hook_has_logged() -> None:
    class Ends(Logging):
        def on_train_epoch_end(self) -> None:
            self.log("score", float(self.current_epoch < 2))

    found = Logged(Ends(), callbacks=[EarlyStopping("score", mode="max", patience=1)], max_epochs=9)
    # The score of the first epoch is not bettered by the second.
    assert found.trainer.current_epoch == 2


def test_metrics_of_one_run_are_not_those_of_the_next() -> None:
    trainer = quiet(num_sanity_val_steps=0)
    trainer.fit(Logging(train, score), ten(), ten())
    assert floats(trainer.callback_metrics) == floats(TRAINED | SCORED)
    trainer.validate(Logging(score=score), ten(), verbose=False)
    assert floats(trainer.callback_metrics) == floats(SCORED)
    trainer.test(Plain(), ten(), verbose=False)
    assert set(trainer.callback_metrics) == {"test_loss"}


# When numbers reach loggers


def sent_steps(found: Logged, name: str) -> list[int]:
    return [step for step, numbers in found.sent if name in numbers]


@pytest.mark.parametrize(
    ("every", "batches"), [(1, [0, 1, 2, 3, 4, 5]), (2, [1, 3, 5]), (3, [2, 5]), (4, [3]), (50, []), (0, [])]
)
def test_steps_are_sent_every_so_often_counted_over_epochs(every: int, batches: list[int]) -> None:
    found = Logged(Logging(train, score), max_epochs=2, log_every_n_steps=every)
    assert sent_steps(found, "t") == batches
    # Epochs are sent whatever the interval, and so are the single steps of a validation.
    assert sent_steps(found, "e") == sent_steps(found, "b_epoch") == sent_steps(found, "v") == [2, 5]
    assert sent_steps(found, "w_step") == [0, 1, 2, 3, 4, 5]
    # All of a step come together.
    assert all({"t", "b_step"} <= set(numbers) for _, numbers in found.sent if "t" in numbers)


@pytest.mark.parametrize(
    ("accumulate", "every", "sent"),
    [
        (2, 1, [(0, 2.0), (1, 6.0), (2, 2.0), (3, 6.0)]),
        (2, 2, [(1, 6.0), (3, 6.0)]),
        (3, 1, [(0, 6.0), (1, 6.0)]),
        (9, 1, [(0, 6.0), (1, 6.0)]),
    ],
)
def test_accumulated_batches_count_as_one_step(
    accumulate: int, every: int, sent: list[tuple[int, float]]
) -> None:
    """The values are those of its last batch; the last window of an epoch may be shorter."""
    found = Logged(Logging(train), max_epochs=2, accumulate_grad_batches=accumulate, log_every_n_steps=every)
    assert [(step, numbers["t"]) for step, numbers in found.sent if "t" in numbers] == sent
    steps = -(-3 // accumulate)
    assert sent_steps(found, "e") == [steps - 1, 2 * steps - 1]
    assert found.trainer.batch_step == 2 * steps


def test_a_trial_run_reports_to_callbacks_alone() -> None:
    found = Logged(Logging(train), fast_dev_run=3)
    assert found.callback == floats(TRAINED)
    assert found.sent == []


def test_a_request_to_stop_sends_the_step_at_work() -> None:
    class Stops(Logging):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.trainer.should_stop = batch_idx == 1  # type: ignore[union-attr]

    found = Logged(Stops(train), log_every_n_steps=50)
    assert sent_steps(found, "t") == [1]


def test_a_number_called_step_takes_the_place_of_the_step() -> None:
    def log(module: Any, index: int) -> None:
        module.log("step", float(100 + index), on_step=True, on_epoch=False)
        module.log("t", 1.0)

    def scored(module: Any, index: int) -> None:
        module.log("step", 7.0)
        module.log("v", 1.0)

    found = Logged(Logging(log, scored))
    assert found.sent == [(100, {"t": 1.0}), (101, {"t": 1.0}), (102, {"t": 1.0}), (7, {"v": 1.0})]


def test_a_number_called_epoch_stays_as_it_was_logged() -> None:
    found = Logged(Logging(lambda m, i: m.log("epoch", 5.0)))
    assert found.sent == [(step, {"epoch": 5.0}) for step in range(3)]


def test_validation_within_an_epoch_is_sent_at_the_step_that_it_follows() -> None:
    found = Logged(Logging(train, score), val_check_interval=1, max_epochs=2)
    assert sent_steps(found, "v") == [0, 1, 2, 3, 4, 5]
    assert sent_steps(found, "w_step") == list(range(18))


def test_a_second_fit_goes_on_counting() -> None:
    recorder, module = Recorder(), Logging(train)
    trainer = quiet(logger=recorder, log_every_n_steps=1)
    trainer.fit(module, ten())
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module, ten())
    assert [(step, numbers["epoch"]) for step, numbers in recorder.sent if "t" in numbers] == [
        *((step, 0.0) for step in range(3)),
        *((step, 1.0) for step in range(3, 6)),
    ]
