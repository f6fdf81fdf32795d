"""Stages share one split, one learning rate rule and one idea of what a trainer option is."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split

import lifecycle as pl
from lifecycle.core.budget import Budget
from lifecycle.core.errors import UsageError
from lifecycle.core.reference import Reference
from lifecycle.core.stage import Context, Project
from lifecycle.stages.fitting import fit, measure, set_learning_rate
from lifecycle.stages.inputs import record_inputs
from lifecycle.stages.prune import Prune
from lifecycle.stages.train import Train
from lifecycle.stages.trainer_options import check_trainer, counted_trainer, trainer_options
from lifecycle.train.trainer import Trainer


class Numbers(pl.DataModule):
    """Split anew at each set-up, without a generator of its own."""

    def setup(self, stage: str) -> None:
        self.parts: list[Dataset[tuple[Tensor, ...]]] = list(
            random_split(TensorDataset(torch.arange(40.0).unsqueeze(1)), [30, 10])
        )

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.parts[0], 10)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.parts[1], 10)


class Watching(pl.Module):
    """Remembers which samples it was trained and validated on."""

    def __init__(self) -> None:
        super().__init__()
        self.lr = 0.1
        self.linear = torch.nn.Linear(1, 1)
        self.seen: dict[str, set[float]] = {"train": set(), "val": set()}

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.seen["train"] |= set(batch[0].flatten().tolist())
        return self(batch[0] / 40).mean()

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.seen["val"] |= set(batch[0].flatten().tolist())
        self.log("val_loss", self(batch[0] / 40).mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.lr)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    project = Project(name="n", root=tmp_path, model=Reference("m.py:M"), data=Reference("d.py:D"))
    budget = Budget(metric="val_loss", mode="min")
    return Context(project=project, data=Numbers, seed=3, budget=budget)


def test_no_stage_validates_on_what_another_trained_on(context: Context, tmp_path: Path) -> None:
    module = Watching()
    fit(module, context, {"max_epochs": 2}, title="train", folder=tmp_path / "fit")
    measure(module, context)
    torch.manual_seed(99)
    inputs = record_inputs(module, context, "val", batches=9)
    assert len(module.seen["train"]) == 30 and len(module.seen["val"]) == 10
    assert not module.seen["train"] & module.seen["val"]
    assert {round(40 * x) for batch in inputs for x in batch[0].flatten().tolist()} == module.seen["val"]


def test_fine_tuning_shorter_than_the_validation_interval_still_chooses(
    context: Context, tmp_path: Path
) -> None:
    options = {"max_epochs": 2, "check_val_every_n_epoch": 5}
    fit(Watching(), context, options, title="prune", folder=tmp_path / "fit")
    assert (tmp_path / "fit" / "best.ckpt").is_file()


def test_every_plain_argument_of_the_trainer_can_be_set_in_a_file() -> None:
    arguments = set(inspect.signature(Trainer.__init__).parameters) - {"self"}
    objects = {"logger", "plugins", "default_root_dir", "model_registry"}
    modes = {"barebones", "fast_dev_run"}  # in which nothing comes out
    ours = {"enable_autolog_hparams", "enable_checkpointing", "enable_model_summary", "enable_progress_bar"}
    assert set(trainer_options()) == arguments - objects - modes - ours


def test_callbacks_are_named_in_a_file(
    context: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [{"StepTimer": {"peak_flops": 1e9}}, {"EarlyStopping": {"monitor": "nothing", "strict": False}}]
    options = check_trainer({"max_epochs": 1, "callbacks": named})
    fit(Watching(), context, options, title="train", folder=tmp_path / "fit")
    assert "where the time of training steps went" in capsys.readouterr().err
    assert counted_trainer(options)["callbacks"] == named[1:]
    watched = {"callbacks": ["StepTimer"]}
    assert counted_trainer(watched) == counted_trainer({})  # who watches makes no other model


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("StepTimer", r"^trainer\.callbacks is 'StepTimer': expected a list of names, as in \[StepTimer\]"),
        (["StepTimr"], r"^trainer\.callbacks names 'StepTimr': did you mean 'StepTimer'\?"),
        ([{"StepTimer": {"peak": 1}}], r"StepTimer takes no argument 'peak': did you mean 'peak_flops'\?"),
        ([{"StepTimer": {}, "EarlyStopping": {}}], "expected a name, or one name with its arguments"),
        ([3], r"^trainer\.callbacks holds 3: expected a name"),
    ],
)
def test_what_names_no_callback_is_told(named: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_trainer({"callbacks": named})


@pytest.mark.parametrize("value", [0, -1, 1.5, "many", True])
def test_a_trainer_option_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match=r"^trainer\.max_epochs is "):
        check_trainer({"max_epochs": value})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compile": {"mod": "default"}}, "compile has no option 'mod': did you mean 'mode'?"),
        ({"compile": "perhaps"}, "trainer.compile is 'perhaps': "),
        ({"fused": "perhaps"}, "trainer.fused is 'perhaps': "),
        ({"strategy": {"name": "fsdp", "cpu_ofload": True}}, "did you mean 'cpu_offload'?"),
        ({"strategy": {"name": "fspd"}}, "strategy='fspd': did you mean 'fsdp'?"),
        ({"strategy": {"auto_wrap_policy": 3}}, "has no name: allowed: ddp, fsdp, single_device"),
        ({"strategy": {"name": "fsdp", "mixed_precision": "bfloat"}}, "did you mean 'bfloat16'?"),
        ({"strategy": {"name": "ddp", "static_graph": 3}}, "static_graph=3: expected true or false"),
    ],
)
def test_nested_options_of_the_trainer_are_checked_too(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        Train(trainer=options)
    assert message in str(refused.value)


def test_what_changes_how_is_computed_belongs_to_the_key() -> None:
    plain = Train(trainer={}).counted()
    for option in ("channels_last", "compile", "fused"):
        assert Train(trainer={option: False}).counted() == plain
        assert Train(trainer={option: True}).counted() != plain
    assert Train(trainer={"strategy": {"name": "fsdp"}}).counted() != plain


def test_a_stage_compiles_and_leaves_the_module_as_it_was(context: Context, tmp_path: Path) -> None:
    options = {"max_epochs": 2, "channels_last": True, "fused": True}
    module, plain = Watching(), Watching()
    plain.load_state_dict(module.state_dict())
    compiled = check_trainer({**options, "compile": {"backend": "eager"}})
    fit(module, context, compiled, title="train", folder=tmp_path / "compiled")
    fit(plain, context, options, title="train", folder=tmp_path / "plain")
    assert "forward" not in vars(module)
    assert list(module.state_dict()) == list(plain.state_dict())
    for name, value in module.state_dict().items():
        assert torch.equal(value, plain.state_dict()[name])


def test_epochs_of_fine_tuning_are_set_in_one_place() -> None:
    with pytest.raises(UsageError, match="set its own 'epochs'"):
        Prune(macs=0.5, trainer={"max_epochs": 3})


def test_the_learning_rate_is_set_where_the_module_keeps_it() -> None:
    module = Watching()
    set_learning_rate(module, None)
    assert module.lr == 0.1
    set_learning_rate(module, 0.5)
    assert module.lr == 0.5
    with pytest.raises(UsageError, match="Module has no learning rate to set"):
        set_learning_rate(pl.Module(), 0.5)
