from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from lifecycle.compress.model_pruning import ModelPruning
from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks import Callback
from lifecycle.train.checkpoint import load_ckpt
from lifecycle.train.module import Module
from lifecycle.train.trainer import Trainer
from tests.compress.test_structured_pruning import Classifier, StopAt, loader, state

CONVOLUTIONS = {"parameter_names": ["weight"], "use_lottery_ticket_hypothesis": False}


def trainer(folder: Path, *callbacks: Callback, epochs: int = 3) -> Trainer:
    return Trainer(
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        deterministic=True,
    )


def fitted(folder: Path, pruning: ModelPruning, **options: Any) -> tuple[Module, Trainer]:
    module, work = Classifier(), trainer(folder, pruning, **options)
    torch.manual_seed(3)
    work.fit(module, loader())
    return module, work


def sparsity(pruning: ModelPruning, module: nn.Module) -> float:
    rows = pruning.report(module)
    return sum(row.zeros for row in rows) / sum(row.total for row in rows)


def test_it_takes_lightnings_arguments_in_their_order_with_their_defaults() -> None:
    parameters = inspect.signature(ModelPruning.__init__).parameters
    ordered = [p for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD][1:]
    assert [(p.name, p.default) for p in ordered] == [
        ("pruning_fn", inspect.Parameter.empty),
        ("parameters_to_prune", ()),
        ("parameter_names", None),
        ("use_global_unstructured", True),
        ("amount", 0.5),
        ("apply_pruning", True),
        ("make_pruning_permanent", True),
        ("use_lottery_ticket_hypothesis", True),
        ("resample_parameters", False),
        ("pruning_dim", None),
        ("pruning_norm", None),
        ("verbose", 0),
        ("prune_on_train_epoch_end", True),
    ]


def test_each_epoch_takes_its_part_of_what_is_left(tmp_path: Path) -> None:
    pruning = ModelPruning("l1_unstructured", amount=0.5, **CONVOLUTIONS)
    module, _ = fitted(tmp_path, pruning)
    assert sparsity(pruning, module) == pytest.approx(1 - 0.5**3, abs=0.001)
    assert pruning.masks == {}, "made permanent"


def test_an_amount_and_its_turn_may_follow_from_the_epoch(tmp_path: Path) -> None:
    pruning = ModelPruning(
        "random_unstructured", amount=lambda epoch: 100, apply_pruning=lambda epoch: epoch > 0, **CONVOLUTIONS
    )
    module, _ = fitted(tmp_path, pruning)
    assert sum(row.zeros for row in pruning.report(module)) == 200


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("schedule", ["constant", "cubic"])
def test_a_schedule_ends_at_the_sparsity_that_was_asked_for(
    tmp_path: Path, schedule: Any, together: bool
) -> None:
    seen: list[float] = []

    class Watch(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: Module) -> None:
            seen.append(sparsity(pruning, pl_module))

    pruning = ModelPruning(
        "l1_unstructured",
        amount=0.8,
        schedule=schedule,
        use_global_unstructured=together,
        make_pruning_permanent=False,
        **CONVOLUTIONS,
    )
    trainer(tmp_path, pruning, Watch(), epochs=4).fit(Classifier(), loader())
    assert seen[-1] == pytest.approx(0.8, abs=0.01)
    if schedule == "constant":
        assert seen == pytest.approx([0.8] * 4, abs=0.01)
    else:
        assert seen[0] == 0 and seen == sorted(seen) and 0.5 < seen[1] < 0.8


def test_two_of_every_four_weights_are_left_for_good(tmp_path: Path) -> None:
    pruning = ModelPruning("2:4", **CONVOLUTIONS)
    module, _ = fitted(tmp_path, pruning)
    weight = module.network.blocks[0].conv1.weight
    assert ((weight != 0).movedim(1, -1).reshape(-1, 4).sum(1) == 2).all()
    assert "network.stem.0.weight" not in {row.name for row in pruning.report(module)}, "one input channel"
    assert {row.fraction for row in pruning.report(module)} == {0.5}


def test_channels_go_as_a_whole(tmp_path: Path) -> None:
    pruning = ModelPruning(
        "ln_structured",
        use_global_unstructured=False,
        amount=0.5,
        pruning_dim=0,
        pruning_norm=2,
        apply_pruning=lambda epoch: epoch == 0,
        **CONVOLUTIONS,
    )
    module, _ = fitted(tmp_path, pruning)
    zeros = (module.network.blocks[0].conv1.weight == 0).flatten(1)
    assert (zeros.all(1) | ~zeros.any(1)).all() and int(zeros.all(1).sum()) == 4


def test_a_lottery_ticket_starts_again_from_the_first_weights(tmp_path: Path) -> None:
    first = Classifier().network.blocks[0].conv1.weight.detach().clone()
    seen: list[Tensor] = []

    class Watch(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: Module) -> None:
            seen.append(pl_module.network.blocks[0].conv1.weight.detach().clone())

    pruning = ModelPruning("l1_unstructured", parameter_names=["weight"], amount=0.3)
    trainer(tmp_path, pruning, Watch(), epochs=1).fit(Classifier(), loader())
    assert torch.equal(seen[0][seen[0] != 0], first[seen[0] != 0]) and (seen[0] == 0).any()


CASES: dict[str, Callable[[], ModelPruning]] = {
    "magnitude": lambda: ModelPruning("l1_unstructured", amount=0.3),
    "random, from the first weights": lambda: ModelPruning("random_unstructured", amount=0.3),
    "drawn anew": lambda: ModelPruning("l1_unstructured", amount=0.3, resample_parameters=True),
    "cubic": lambda: ModelPruning("l1_unstructured", amount=0.7, schedule="cubic", **CONVOLUTIONS),
    "a class": lambda: ModelPruning(prune.L1Unstructured, amount=0.3, **CONVOLUTIONS),
}


@pytest.mark.parametrize(("case", "killed_at"), [*((case, 13) for case in CASES), ("cubic", 8)])
def test_a_fit_that_is_killed_goes_on_to_the_bit(tmp_path: Path, case: str, killed_at: int) -> None:
    whole, work = fitted(tmp_path, CASES[case]())
    path = tmp_path / "killed.ckpt"
    killed, stopped = Classifier(), trainer(tmp_path, CASES[case](), StopAt(killed_at, path))
    torch.manual_seed(3)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(killed, loader())
    again, rest = Classifier(), trainer(tmp_path, CASES[case]())
    rest.fit(again, loader(), ckpt_path=path)
    wanted, got = state(whole, work), state(again, rest)
    assert all(torch.equal(wanted[name], got[name]) for name in wanted)


def test_checkpoints_hold_zeros_under_the_modules_own_names(tmp_path: Path) -> None:
    pruning = ModelPruning("l1_unstructured", amount=0.5, **CONVOLUTIONS)
    module, path = Classifier(), tmp_path / "sparse.ckpt"
    work = trainer(tmp_path, pruning, StopAt(12, path))
    with pytest.raises(KeyboardInterrupt):
        work.fit(module, loader())
    fresh = Classifier()
    fresh.load_state_dict(load_ckpt(path)["state_dict"])
    assert sparsity(pruning, fresh) == pytest.approx(0.5, abs=0.001)


def test_the_sparsity_and_what_it_is_not_good_for_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        fitted(tmp_path, ModelPruning("l1_unstructured", amount=0.5, verbose=2, **CONVOLUTIONS), epochs=1)
    assert "weights are zero (50.00 %)" in caplog.text and "network.head.weight: " in caplog.text
    assert "no faster network here" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pruning_fn": "l1_unstructurd"}, "did you mean 'l1_unstructured'"),
        ({"pruning_fn": "ln_structured"}, "pass use_global_unstructured=False"),
        ({"pruning_fn": "random_structured", "use_global_unstructured": False}, "needs pruning_dim"),
        (
            {"pruning_fn": "ln_structured", "use_global_unstructured": False, "pruning_dim": 0},
            "needs pruning_norm",
        ),
        (
            {"pruning_fn": "l1_unstructured", "amount": 1.5},
            "amount: expected a fraction from 0 to 1 or a count",
        ),
        ({"pruning_fn": "l1_unstructured", "verbose": 3}, "verbose: expected 0, 1 or 2, got 3"),
        (
            {"pruning_fn": "l1_unstructured", "amount": 7, "schedule": "cubic"},
            "a schedule goes to a fraction",
        ),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ModelPruning(**options)


def test_a_parameter_of_another_module_is_refused(tmp_path: Path) -> None:
    pruning = ModelPruning("l1_unstructured", [(nn.Linear(2, 2), "weight")])
    with pytest.raises(UsageError, match="Linear has no parameter 'weight' that belongs to the module"):
        fitted(tmp_path, pruning)
