from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim.swa_utils import get_ema_multi_avg_fn

import lifecycle as pl
from lifecycle.callbacks import EMAWeightAveraging, WeightAveraging
from lifecycle.core.errors import UsageError
from lifecycle.train.checkpoint import load_ckpt
from tests.train.callbacks.disturbed import Interrupt, Saving, both, differences, fit
from tests.train.small import loader, quiet, same


class Normed(pl.Module):
    """With batch norm, whose statistics are buffers, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 1))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return mse_loss(self.net(batch[0]), batch[1])

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val_loss", mse_loss(self.net(batch[0]), batch[1]))

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=0.05)


def made() -> Normed:
    pl.seed_everything(7)
    module = Normed()
    pl.seed_everything(7)
    return module


def state(module: pl.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


class Trained(pl.Callback):
    """The weights after every optimizer step, and those that each validation sees."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Tensor]] = []
        self.validated: list[dict[str, Tensor]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.Module, *_: Any) -> None:
        self.steps.append(state(pl_module))

    def on_validation_batch_start(self, trainer: pl.Trainer, pl_module: pl.Module, *_: Any) -> None:
        self.validated.append(state(pl_module))


def averaged(callback: WeightAveraging, epochs: int = 2, **options: Any) -> tuple[Trained, Normed]:
    trained, module = Trained(), made()
    given = {"max_epochs": epochs, "callbacks": [callback, trained], "num_sanity_val_steps": 0}
    quiet(**{**given, **options}).fit(module, loader(), loader())
    return trained, module


def close(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.allclose(first[name].float(), second[name].float(), atol=1e-6) for name in first)


def test_all_steps_count_alike() -> None:
    trained, module = averaged(WeightAveraging())
    name = "net.0.weight"
    mean = torch.stack([weights[name] for weights in trained.steps]).mean(0)
    assert torch.allclose(module.state_dict()[name], mean, atol=1e-6)
    assert not torch.allclose(trained.steps[-1][name], mean, atol=1e-3)


def test_an_exponential_average_forgets() -> None:
    trained, module = averaged(EMAWeightAveraging(decay=0.7))
    for name in ("net.0.weight", "net.1.running_mean"):
        expected = trained.steps[0][name]  # the first is taken as it is
        for weights in trained.steps[1:]:
            expected = 0.7 * expected + 0.3 * weights[name]
        assert torch.allclose(module.state_dict()[name], expected, atol=1e-6)


def test_buffers_can_be_copied_instead() -> None:
    trained, module = averaged(EMAWeightAveraging(decay=0.7, use_buffers=False))
    assert torch.equal(module.net[1].running_mean, trained.steps[-1]["net.1.running_mean"])
    assert not torch.equal(module.net[0].weight, trained.steps[-1]["net.0.weight"])


def test_validation_sees_the_average_and_training_does_not() -> None:
    trained, _ = averaged(WeightAveraging(), epochs=1)
    mean = torch.stack([weights["net.3.bias"] for weights in trained.steps]).mean(0)
    assert all(torch.allclose(seen["net.3.bias"], mean, atol=1e-6) for seen in trained.validated)
    plain = made()
    undisturbed = Trained()
    quiet(max_epochs=2, callbacks=[undisturbed], num_sanity_val_steps=0).fit(plain, loader(), loader())
    two, _ = averaged(WeightAveraging(), epochs=2)
    assert same(two.steps, undisturbed.steps)


@pytest.mark.parametrize(
    ("callback", "updates"),
    [
        (EMAWeightAveraging(update_every_n_steps=3), [0, 3, 6, 9]),
        (EMAWeightAveraging(update_every_n_steps=3, update_starting_at_step=4), [6, 9]),
        (EMAWeightAveraging(update_every_n_steps=0, update_starting_at_epoch=1), ["epoch 1"]),
        (EMAWeightAveraging(update_starting_at_step=99, update_starting_at_epoch=0), ["epoch 0", "epoch 1"]),
    ],
)
def test_when_an_exponential_average_is_updated(callback: EMAWeightAveraging, updates: list[Any]) -> None:
    found: list[Any] = [step for step in range(12) if callback.should_update(step_idx=step)]
    found += [f"epoch {epoch}" for epoch in range(2) if callback.should_update(epoch_idx=epoch)]
    assert found == updates
    averaged(callback)
    assert callback._average_model is not None
    assert int(callback._average_model.n_averaged) == len(updates)


def test_a_window_of_batches_is_one_step() -> None:
    callback = WeightAveraging()
    averaged(callback, accumulate_grad_batches=4)
    assert callback._average_model is not None
    assert int(callback._average_model.n_averaged) == 4


def test_subclasses_say_when() -> None:
    class Epochs(WeightAveraging):
        def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
            return epoch_idx is not None

    trained, module = averaged(Epochs())
    ends = torch.stack([trained.steps[5]["net.0.weight"], trained.steps[11]["net.0.weight"]])
    assert torch.allclose(module.net[0].weight, ends.mean(0), atol=1e-6)


def test_averaging_functions_of_torch_are_taken() -> None:
    _, module = averaged(WeightAveraging(use_buffers=False, multi_avg_fn=get_ema_multi_avg_fn(0.7)))
    _, by_ours = averaged(EMAWeightAveraging(decay=0.7, use_buffers=False))
    assert close(state(module), state(by_ours))


def test_a_checkpoint_holds_the_average_and_what_is_trained(tmp_path: Path) -> None:
    trained = Trained()
    path = tmp_path / "a.ckpt"
    with pytest.raises(InterruptedError):
        fit(path, [trained, WeightAveraging()], made, before=4, num_sanity_val_steps=0)
    content: dict[str, Any] = load_ckpt(path)
    assert same(dict(content["current_model_state"]), trained.steps[3])
    mean = torch.stack([weights["net.0.weight"] for weights in trained.steps]).mean(0)
    assert torch.allclose(content["state_dict"]["net.0.weight"], mean, atol=1e-6)
    assert content["averaging_state"].keys() == {"n_averaged"}
    assert int(content["averaging_state"]["n_averaged"]) == 4


@pytest.mark.parametrize("before", [3, 6, 8, 12])
@pytest.mark.parametrize(
    "average",
    [
        WeightAveraging,
        lambda: EMAWeightAveraging(decay=0.8, update_every_n_steps=2, update_starting_at_epoch=0),
        lambda: EMAWeightAveraging(decay=0.8, use_buffers=False),
    ],
)
def test_a_resumed_fit_goes_on_from_both(tmp_path: Path, before: int, average: Any) -> None:
    whole, parts = both(tmp_path, lambda: [average()], made, before=before, max_epochs=3)
    assert differences(whole, parts) == []


@pytest.mark.parametrize("before", [4, 5])
def test_a_window_of_batches_is_resumed_in_its_middle(tmp_path: Path, before: int) -> None:
    whole, parts = both(
        tmp_path, lambda: [WeightAveraging()], made, before=before, max_epochs=2, accumulate_grad_batches=3
    )
    assert differences(whole, parts) == []


def test_an_epoch_that_was_cut_short_is_averaged_once(tmp_path: Path) -> None:
    class Epochs(WeightAveraging):
        def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
            return epoch_idx is not None

    path = tmp_path / "a.ckpt"
    fit(path, [Epochs()], made, max_epochs=2, max_steps=3)
    again = Epochs()
    fit(path, [again], made, max_epochs=2, resume=True)
    assert again._average_model is not None
    assert int(again._average_model.n_averaged) == 2


def test_a_fit_that_was_killed_at_its_very_end_puts_the_average_in_place(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    whole = fit(path, [WeightAveraging()], made, max_epochs=2)  # saves last before its end
    assert differences(whole, fit(path, [WeightAveraging()], made, max_epochs=2, resume=True)) == []


def test_a_fit_that_has_ended_can_be_saved_and_continued(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole.ckpt", [WeightAveraging()], made, max_epochs=4)
    first = quiet(max_epochs=2, callbacks=[WeightAveraging()])
    first.fit(made(), loader(shuffle=True), loader())
    first.save_checkpoint(tmp_path / "half.ckpt")
    assert first.lightning_module is not None
    half: dict[str, Any] = load_ckpt(tmp_path / "half.ckpt")
    assert same(dict(half["state_dict"]), dict(first.lightning_module.state_dict()))
    second = fit(tmp_path / "half.ckpt", [WeightAveraging()], made, resume=True, max_epochs=4)
    assert whole.lightning_module is not None and second.lightning_module is not None
    assert same(whole.lightning_module.state_dict(), second.lightning_module.state_dict())


def test_a_checkpoint_of_a_validation_holds_the_same(tmp_path: Path) -> None:
    class Within(pl.Callback):
        def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            trainer.save_checkpoint(tmp_path / "within.ckpt")

        def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.Module) -> None:
            trainer.save_checkpoint(tmp_path / "after.ckpt")

    quiet(max_epochs=1, callbacks=[WeightAveraging(), Within()]).fit(made(), loader(), loader())
    within, after = (load_ckpt(tmp_path / f"{name}.ckpt") for name in ("within", "after"))
    for key in ("state_dict", "current_model_state", "averaging_state"):
        assert same(within[key], after[key])
    assert not same(within["state_dict"], within["current_model_state"])


def test_a_fit_that_breaks_in_its_validation_leaves_what_was_trained() -> None:
    class Breaking(pl.Callback):
        def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            if not trainer.sanity_checking:
                raise InterruptedError

    trained, module = Trained(), made()
    trainer = quiet(max_epochs=1, callbacks=[trained, WeightAveraging(), Breaking()])
    with pytest.raises(InterruptedError):
        trainer.fit(module, loader(), loader())
    assert same(dict(module.state_dict()), trained.steps[-1])


def test_scoring_after_the_fit_takes_the_module_as_it_is() -> None:
    callback, module = WeightAveraging(), made()
    trainer = quiet(max_epochs=1, callbacks=[callback])
    trainer.fit(module, loader(), loader())
    before, other = state(module), made()
    trainer.validate(module, loader())
    trainer.validate(other, loader())
    assert same(state(module), before) and same(state(other), state(made()))


def test_a_checkpoint_without_an_average_begins_one(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    fit(path, [], made, max_epochs=1)
    with pytest.warns(UserWarning, match="the checkpoint holds no average"):
        fit(path, [WeightAveraging()], made, resume=True, max_epochs=2)


def test_testing_from_a_checkpoint_scores_the_average(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    whole = fit(path, [WeightAveraging()], made, max_epochs=1)
    assert whole.lightning_module is not None
    module = made()
    quiet(callbacks=[WeightAveraging()]).validate(module, loader(), ckpt_path=path)
    assert same(dict(module.state_dict()), dict(load_ckpt(path)["state_dict"]))  # type: ignore[call-overload]


def test_a_second_fit_begins_a_new_average() -> None:
    callback = WeightAveraging()
    averaged(callback)
    again, _ = averaged(callback)
    fresh, _ = averaged(WeightAveraging())
    assert same(again.validated, fresh.validated)


def test_a_decay_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(UsageError, match=r"decay=1.5\): expected a number from 0 to 1"):
        EMAWeightAveraging(decay=1.5)


def test_interrupting_is_seen(tmp_path: Path) -> None:
    """The parts of the tests above do what their names say."""
    with pytest.raises(InterruptedError):
        quiet(callbacks=[Interrupt(2), Saving(tmp_path / "a.ckpt", 2)]).fit(made(), loader())
    assert load_ckpt(tmp_path / "a.ckpt")["global_step"] == 2
