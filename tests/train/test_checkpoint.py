from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lifecycle as pl
from lifecycle.callbacks import ModelCheckpoint
from lifecycle.core.errors import ArtifactError, UsageError
from lifecycle.train.checkpoint import KEYS, load_ckpt
from lifecycle.train.writer import save_ckpt
from tests.train.small import Plain, Regression, loader, quiet, same, seeded

ROOT = Path(__file__).parents[2]
LIGHTNINGS_KEYS = {
    "callbacks",
    "epoch",
    "global_step",
    "loops",
    "lr_schedulers",
    "optimizer_states",
    "pytorch-lightning_version",
    "state_dict",
}
EPOCHS = 5


class Interrupt(pl.Callback):
    """Ends the process's part in a fit at the beginning of an epoch."""

    def __init__(self, epoch: int, *, kill: bool = False) -> None:
        self.epoch = epoch
        self.kill = kill

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.Module) -> None:
        if trainer.current_epoch == self.epoch:
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise InterruptedError


class Counting(pl.Callback):
    """Has a state: how many batches it saw."""

    def __init__(self) -> None:
        self.count = 0

    def on_train_batch_end(self, *given: object) -> None:
        self.count += 1

    def state_dict(self) -> dict[str, object]:
        return {"count": self.count}

    def load_state_dict(self, state_dict: Mapping[str, object]) -> None:
        self.count = int(str(state_dict["count"]))


def trainer_of(folder: Path, *callbacks: pl.Callback, **options: Any) -> pl.Trainer:
    keep = ModelCheckpoint(folder, filename="best", monitor="val_loss", save_last=True)
    return quiet(**{"max_epochs": EPOCHS, "callbacks": [*callbacks, keep], **options})


def fit(
    folder: Path,
    *callbacks: pl.Callback,
    module: type[Regression] = Regression,
    workers: int = 0,
    ckpt_path: str | Path | None = None,
    **options: Any,
) -> pl.Trainer:
    trainer = trainer_of(folder, *callbacks, **options)
    trainer.fit(seeded(module), loader(shuffle=True, workers=workers), loader(), ckpt_path=ckpt_path)
    return trainer


def everything(folder: Path) -> Any:
    """What the last checkpoint holds, with paths as seen from its folder."""

    def inside(item: Any) -> Any:
        if isinstance(item, str):
            return item.replace(str(folder), "")
        if isinstance(item, Mapping):
            return {inside(key): inside(value) for key, value in item.items()}
        return [inside(value) for value in item] if isinstance(item, list | tuple) else item

    return inside(load_ckpt(folder / "last.ckpt"))


@pytest.mark.parametrize("interrupted_at", [1, 3])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_fit_ends_where_the_undisturbed_one_does(
    tmp_path: Path, interrupted_at: int, workers: int
) -> None:
    whole = fit(tmp_path / "whole", Counting())
    with pytest.raises(InterruptedError):
        fit(tmp_path / "parts", Interrupt(interrupted_at), Counting(), workers=workers)
    torch.rand(100)
    resumed = trainer_of(tmp_path / "parts", Counting())
    module = Regression()  # with weights of its own, and under another seed
    resumed.fit(module, loader(shuffle=True, workers=workers), loader(), ckpt_path="last")
    assert same(everything(tmp_path / "parts"), everything(tmp_path / "whole"))
    assert same(resumed.callback_metrics, whole.callback_metrics)
    assert resumed.global_step == whole.global_step == EPOCHS * 6
    assert same(module.state_dict(), load_ckpt(tmp_path / "whole" / "last.ckpt")["state_dict"])


def test_a_killed_process_leaves_what_another_goes_on_from(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.train.test_checkpoint import Counting, Interrupt, fit\n"
        "fit(Path(sys.argv[1]), Interrupt(3, kill=True), Counting())\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "parts")], cwd=ROOT, timeout=120)
    assert done.returncode == -signal.SIGKILL
    fit(tmp_path / "whole", Counting())
    # The checkpoint that was being written is whole or not there.
    assert load_ckpt(tmp_path / "parts" / "last.ckpt")["epoch"] in (1, 2)
    fit(tmp_path / "parts", Counting(), ckpt_path=tmp_path / "parts" / "last.ckpt")
    assert same(everything(tmp_path / "parts"), everything(tmp_path / "whole"))


def test_a_fit_between_validations_resumes_with_their_metrics(tmp_path: Path) -> None:
    """Epochs 1 and 3 validate; at the end of epoch 2 the plateau follows the metric of epoch 1."""

    class Plateau(Plain):
        def configure_optimizers(self) -> object:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
            return {
                "optimizer": optimizer,
                "lr_scheduler": {"scheduler": schedule, "monitor": "val_loss", "strict": False},
            }

    options: dict[str, Any] = {"check_val_every_n_epoch": 2, "max_epochs": 4, "module": Plateau}
    stays = "^ReduceLROnPlateau follows 'val_loss', which was not logged: (.|\n)*its learning rate stays$"
    with pytest.warns(UserWarning, match=stays):
        fit(tmp_path / "whole", **options)
    with pytest.warns(UserWarning, match=stays), pytest.raises(InterruptedError):
        fit(tmp_path / "parts", Interrupt(2), **options)
    fit(tmp_path / "parts", ckpt_path="last", **options)  # without a warning: the metric is there again
    assert same(everything(tmp_path / "parts"), everything(tmp_path / "whole"))


def test_last_starts_anew_where_there_is_none(tmp_path: Path) -> None:
    assert fit(tmp_path, ckpt_path="last", max_epochs=1).global_step == 6


def test_a_finished_fit_is_not_trained_further(tmp_path: Path) -> None:
    fit(tmp_path, max_epochs=2)
    before = everything(tmp_path)
    trainer = fit(tmp_path, ckpt_path="last", max_epochs=2)
    assert trainer.global_step == 12
    assert same(everything(tmp_path), before)


def test_a_checkpoint_has_lightnings_keys_and_loads_without_unpickling(tmp_path: Path) -> None:
    fit(tmp_path, max_epochs=2)
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert set(content) == LIGHTNINGS_KEYS | {"hyper_parameters"}
    assert set(KEYS) < LIGHTNINGS_KEYS
    assert (content["epoch"], content["global_step"]) == (1, 12)
    assert content["hyper_parameters"] == {"width": 8, "dropout": 0.5}
    assert set(content["state_dict"]) == set(Regression().state_dict())
    assert set(content["optimizer_states"][0]) == {"state", "param_groups"}
    assert content["lr_schedulers"][0]["last_epoch"] == 12


def test_without_hyperparameters_a_checkpoint_has_just_the_eight(tmp_path: Path) -> None:
    class Bare(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.hparams.clear()

    trainer_of(tmp_path, max_epochs=1).fit(Bare(), loader(), loader())
    assert set(torch.load(tmp_path / "last.ckpt", weights_only=True)) == LIGHTNINGS_KEYS


def test_the_same_fit_writes_the_same_bytes(tmp_path: Path) -> None:
    files = [tmp_path / "first.ckpt", tmp_path / "other.ckpt"]
    for file in files:
        trainer = quiet(max_epochs=2)
        trainer.fit(seeded(), loader(shuffle=True), loader())
        trainer.save_checkpoint(file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_callbacks_can_add_to_a_checkpoint_and_read_it_back(tmp_path: Path) -> None:
    read = []

    class Adding(pl.Callback):
        def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, object]) -> None:
            checkpoint["note"] = [trainer.current_epoch]

        def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, object]) -> None:
            read.append(checkpoint["note"])

    fit(tmp_path, Adding(), max_epochs=2)
    fit(tmp_path, Adding(), max_epochs=2, ckpt_path="last")
    assert read == [[1]]


def refusal(folder: Path, module: pl.Module) -> str:
    fit(folder, max_epochs=1)
    with pytest.raises(UsageError) as caught:
        trainer_of(folder).fit(module, loader(), loader(), ckpt_path=folder / "last.ckpt")
    return str(caught.value)


def test_a_checkpoint_of_another_model_is_refused_with_what_differs(tmp_path: Path) -> None:
    class Other(Regression):
        def __init__(self) -> None:
            super().__init__()
            self.net.add_module("extra", nn.Linear(1, 1))
            self.net[0] = nn.Identity()

    assert refusal(tmp_path, Other()) == (
        "the checkpoint is of another model:\n"
        "  only in the checkpoint: net.0.bias\n"
        "  only in the checkpoint: net.0.weight\n"
        "  only in the module: net.extra.bias\n"
        "  only in the module: net.extra.weight"
    )


def test_a_checkpoint_of_a_model_of_another_size_is_refused_with_the_shapes(tmp_path: Path) -> None:
    assert refusal(tmp_path, Regression(width=5)) == (
        "the checkpoint is of another model:\n"
        "  net.0.bias: 8 in the checkpoint, 5 in the module\n"
        "  net.0.weight: 8×4 in the checkpoint, 5×4 in the module\n"
        "  net.3.weight: 1×8 in the checkpoint, 1×5 in the module"
    )


def test_a_checkpoint_with_other_schedules_is_refused(tmp_path: Path) -> None:
    class Unscheduled(Regression):
        def configure_optimizers(self) -> object:
            return torch.optim.AdamW(self.parameters())

    assert refusal(tmp_path, Unscheduled()) == (
        "the checkpoint holds 1 learning rate schedulers, and configure_optimizers returned 0\n"
        "A fit goes on with the optimizers and schedulers that were saved."
    )


def test_a_checkpoint_that_tells_no_position_is_refused_for_a_resume_and_gives_its_weights(
    tmp_path: Path,
) -> None:
    fit(tmp_path, max_epochs=1)
    content = load_ckpt(tmp_path / "last.ckpt")
    save_ckpt(tmp_path / "foreign.ckpt", content | {"loops": {"fit_loop": {}}})
    with pytest.raises(
        UsageError, match=r"^the checkpoint does not say where a fit stood, .* load_from_checkpoint$"
    ):
        fit(tmp_path, ckpt_path=tmp_path / "foreign.ckpt")
    module = Regression.load_from_checkpoint(tmp_path / "foreign.ckpt")
    assert same(module.state_dict(), content["state_dict"])


class Otherwise(Plain):
    """Optimizes as it is told to."""

    def __init__(self, make: Callable[[Plain], torch.optim.Optimizer]) -> None:
        super().__init__()
        self.make = make

    def configure_optimizers(self) -> object:
        return self.make(self)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda module: torch.optim.Adam(module.parameters()),
            "of another optimizer than this Adam: it knows no betas, eps, but dampening, "
            "momentum, nesterov\n",
        ),
        (
            lambda module: torch.optim.SGD([{"params": [p]} for p in module.parameters()], lr=0.1),
            r"of an optimizer of 4 parameters, and this SGD has 1 \+ 1 \+ 1 \+ 1\n",
        ),
    ],
)
def test_a_checkpoint_of_another_optimizer_is_refused(
    tmp_path: Path, make: Callable[[Plain], torch.optim.Optimizer], message: str
) -> None:
    quiet(callbacks=ModelCheckpoint(tmp_path, filename="one")).fit(Plain(), loader())
    with pytest.raises(UsageError, match=f"^the checkpoint is {message}"):
        quiet(max_epochs=2).fit(Otherwise(make), loader(), ckpt_path=tmp_path / "one.ckpt")


def test_a_fit_does_not_go_on_from_weights_alone(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, filename="one", save_weights_only=True)
    quiet(callbacks=keep).fit(Plain(), loader())
    with pytest.raises(
        UsageError, match=r"^the checkpoint holds weights alone \(save_weights_only=True\), so"
    ):
        quiet(max_epochs=2).fit(Plain(), loader(), ckpt_path=tmp_path / "one.ckpt")
    quiet().test(Plain(), loader(), ckpt_path=tmp_path / "one.ckpt", verbose=False)


def test_a_missing_checkpoint_is_refused_with_those_there_are(tmp_path: Path) -> None:
    fit(tmp_path, max_epochs=1)
    with pytest.raises(UsageError, match=r"^no checkpoint .*/lost.ckpt; beside it: best.ckpt, last.ckpt$"):
        fit(tmp_path, ckpt_path=tmp_path / "lost.ckpt")
    with pytest.raises(UsageError, match=r"^no checkpoint .*/lost.ckpt; beside it: \(nothing\)$"):
        fit(tmp_path, ckpt_path=tmp_path / "nowhere" / "lost.ckpt")


def test_a_torn_checkpoint_is_refused(tmp_path: Path) -> None:
    fit(tmp_path, max_epochs=1)
    path = tmp_path / "last.ckpt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ArtifactError, match=r"/last.ckpt cannot be read: it has 1,000 bytes and is no whole"):
        load_ckpt(path)


def test_a_file_of_weights_alone_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save({"state_dict": Regression().state_dict()}, tmp_path / "weights.ckpt")
    with pytest.raises(
        ArtifactError, match=r"weights.ckpt is not a checkpoint of a trainer: it lacks epoch, global_step, "
    ):
        load_ckpt(tmp_path / "weights.ckpt")


class Runs:
    """What a pickle of this does when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("ran",))


def test_a_checkpoint_that_would_run_code_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Runs()}, tmp_path / "evil.ckpt")
    with pytest.raises(
        ArtifactError, match=r"evil.ckpt cannot be read: it holds posix.mkdir, which only unp"
    ):
        load_ckpt(tmp_path / "evil.ckpt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (nn.ReLU, "torch.nn.modules.activation.ReLU"),
        (timedelta(1), "datetime.timedelta"),
        (lambda: 1, "lambda"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(tmp_path: Path, value: object, named: str) -> None:
    class Odd(Plain):
        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["odd"] = value

    with pytest.raises(UsageError) as caught:
        trainer_of(tmp_path).fit(Odd(), loader(), loader())
    assert named in caught.value.message
    assert "out of state_dict()" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


class Remembering(Plain):
    """Keeps what it saw in whatever its author found handy."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, Any] = {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["kept"] = self.kept

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.kept = checkpoint["kept"]


def test_arrays_paths_and_numbers_of_numpy_come_back(tmp_path: Path) -> None:
    given = {
        "arrays": [np.arange(6.0).reshape(2, 3).T, np.array(True), (np.zeros((0, 2), np.uint16), 1)],
        "folder": Path("here"),
        "best": np.float32(0.5),
        "generator": np.random.RandomState(3).get_state(),
    }
    module = Remembering()
    module.kept = given
    quiet(callbacks=ModelCheckpoint(tmp_path, filename="one")).fit(module, loader())
    again = Remembering()
    quiet(max_epochs=2).fit(again, loader(), ckpt_path=tmp_path / "one.ckpt")
    kept = again.kept
    arrays = [kept["arrays"][0], kept["arrays"][1], kept["arrays"][2][0], kept["generator"][1]]
    expected: list[Any] = [
        given["arrays"][0],
        given["arrays"][1],
        given["arrays"][2][0],
        given["generator"][1],
    ]  # type: ignore[index]
    for found, wanted in zip(arrays, expected, strict=True):
        assert (type(found), found.dtype, found.shape) == (np.ndarray, wanted.dtype, wanted.shape)
        assert (found == wanted).all()
    assert kept["folder"] == Path("here")
    assert (type(kept["best"]), kept["best"]) == (float, 0.5)
    torch.load(tmp_path / "one.ckpt", weights_only=True)


class Assembled(Plain):
    """Made of a part that it is given, as scripts that assemble modules from configurations do."""

    def __init__(self, part: nn.Module, folder: Path, width: int = 4) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.part = part


def test_hyperparameters_that_could_not_be_read_back_are_left_out_with_a_warning(tmp_path: Path) -> None:
    left_out = r"leave out the hyperparameter 'part' \(Linear\): pass it to load_from_checkpoint"
    with pytest.warns(UserWarning, match=left_out):
        trainer_of(tmp_path).fit(Assembled(nn.Linear(2, 3), Path("here"), width=5), loader(), loader())
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    kept = content["hyper_parameters"]
    assert (kept["folder"], kept["width"], "part" in kept) == ("here", 5, False)
    again = Assembled.load_from_checkpoint(tmp_path / "last.ckpt", part=nn.Linear(2, 3))
    assert torch.equal(again.part.weight, content["state_dict"]["part.weight"])


def test_a_checkpoint_is_read_to_the_processor_whatever_wrote_it(tmp_path: Path) -> None:
    fit(tmp_path, max_epochs=1)
    weights = load_ckpt(tmp_path / "last.ckpt")["state_dict"]
    assert isinstance(weights, dict)
    assert all(isinstance(tensor, Tensor) and tensor.device.type == "cpu" for tensor in weights.values())
