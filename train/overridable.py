"""What a user writes in a module: steps, optimizers, loaders, and Lightning's hooks; all may be left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lifecycle.train.errors import missing_method

if TYPE_CHECKING:
    from lifecycle.core.signature import Signature
    from lifecycle.train.callbacks.base import Callback

StepOutput: TypeAlias = "Tensor | Mapping[str, object] | None"


class Overridable(nn.Module):
    """The methods of a module that the trainer calls; a hook that nobody overrode is never called."""

    # What a user writes

    def training_step(self, *args: Any, **kwargs: Any) -> StepOutput:
        """Return the loss of ``(batch, batch_idx)``, a dictionary with a ``"loss"``, or None to skip it."""
        raise missing_method(self, "training_step")

    def validation_step(self, *args: Any, **kwargs: Any) -> StepOutput:
        """Score ``(batch, batch_idx)`` of the validation split; log with `log`."""
        raise missing_method(self, "validation_step")

    def test_step(self, *args: Any, **kwargs: Any) -> StepOutput:
        """Score ``(batch, batch_idx)`` of the test split; log with `log`."""
        raise missing_method(self, "test_step")

    def predict_step(self, *args: Any, **kwargs: Any) -> object:
        """Answer for ``(batch, batch_idx)``; by default what `forward` gives for the batch."""
        return self(args[0])

    def configure_optimizers(self) -> object:
        """The optimizer and its schedulers, in one of the shapes that `lifecycle.train.optim` lists."""
        raise missing_method(self, "configure_optimizers")

    def configure_callbacks(self) -> Sequence[Callback] | Callback:
        """Callbacks that this module brings; they replace the trainer's of the same type."""
        return []

    def signature(self) -> Signature | None:
        """Names, types, shapes and ranges of inputs and outputs, labels and task; None derives it."""
        return None

    def postprocess(self, outputs: Any) -> Mapping[str, Tensor]:
        """Named outputs that serving adds to those of `forward` (probabilities, say)."""
        return {}

    # Optimization, in pieces; override one to change it

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None
    ) -> None:
        """Make an optimizer step; `optimizer_closure` runs `training_step` and computes gradients."""
        optimizer.step(closure=optimizer_closure)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Clear gradients."""
        optimizer.zero_grad()

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients of a loss."""
        loss.backward(*args, **kwargs)  # type: ignore[no-untyped-call]

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip gradients before a step, by the trainer's options."""
        from lifecycle.train.optim import clip_gradients

        clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm or "norm")

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Step a scheduler; `metric` is what it monitors, or None."""
        if metric is None:
            scheduler.step()
        else:
            scheduler.step(metric)

    # Data, for modules that bring their own

    def prepare_data(self) -> None:
        """Fetch what is not there yet; must not set attributes."""

    def train_dataloader(self) -> object:
        """Batches to train on."""
        raise NotImplementedError

    def val_dataloader(self) -> object:
        """Batches to choose models by."""
        raise NotImplementedError

    def test_dataloader(self) -> object:
        """Batches to judge the chosen model by, once."""
        raise NotImplementedError

    def predict_dataloader(self) -> object:
        """Batches without labels."""
        raise NotImplementedError

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Change a batch before it goes to the device."""
        return batch

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Bring a batch to the device."""
        from lifecycle.train.data import move_batch

        return move_batch(batch, device)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Change a batch on the device."""
        return batch

    # Hooks, in the order of `lifecycle.train.hooks`

    def configure_model(self) -> None:
        """Make parts that are to be made late, after `setup`; must not make them twice."""

    def configure_sharded_model(self) -> None:
        """An older name of `configure_model`."""

    def setup(self, stage: str) -> None:
        """Before optimizers are made."""

    def teardown(self, stage: str) -> None:
        """After everything."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A checkpoint is about to be written; it may be added to."""

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A checkpoint was read, nothing is restored yet."""

    def on_fit_start(self) -> None:
        """Fit begins."""

    def on_fit_end(self) -> None:
        """Fit ends."""

    def on_train_start(self) -> None:
        """The first epoch is about to begin."""

    def on_train_end(self) -> None:
        """The last epoch has ended."""

    def on_train_epoch_start(self) -> None:
        """An epoch begins."""

    def on_train_epoch_end(self) -> None:
        """An epoch ends, its validation included."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        """A batch was read; return -1 to skip the rest of the epoch."""

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A batch was trained on."""

    def on_before_zero_grad(self, optimizer: Optimizer) -> None:
        """Gradients are about to be cleared."""

    def on_before_backward(self, loss: Tensor) -> None:
        """Gradients are about to be computed."""

    def on_after_backward(self) -> None:
        """Gradients are there."""

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Weights are about to change; gradients are not clipped yet."""

    def on_validation_model_zero_grad(self) -> None:
        """Free the gradients before a validation within an epoch."""
        self.zero_grad()

    def on_validation_model_eval(self) -> None:
        """Go into evaluation mode."""
        self.eval()

    def on_validation_model_train(self) -> None:
        """Go back; unless it is overridden every part gets the mode that it had."""
        self.train()

    def on_validation_start(self) -> None:
        """Validation begins."""

    def on_validation_end(self) -> None:
        """Validation ends."""

    def on_validation_epoch_start(self) -> None:
        """Before the first validation batch."""

    def on_validation_epoch_end(self) -> None:
        """After the last validation batch, before metrics are reduced."""

    def on_validation_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """A validation batch was read."""

    def on_validation_batch_end(
        self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """A validation batch was scored."""

    def on_test_model_eval(self) -> None:
        """Go into evaluation mode."""
        self.eval()

    def on_test_model_train(self) -> None:
        """Go back; unless it is overridden every part gets the mode that it had."""
        self.train()

    def on_test_start(self) -> None:
        """Test begins."""

    def on_test_end(self) -> None:
        """Test ends."""

    def on_test_epoch_start(self) -> None:
        """Before the first test batch."""

    def on_test_epoch_end(self) -> None:
        """After the last test batch, before metrics are reduced."""

    def on_test_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """A test batch was read."""

    def on_test_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """A test batch was scored."""

    def on_predict_model_eval(self) -> None:
        """Go into evaluation mode."""
        self.eval()

    def on_predict_start(self) -> None:
        """Prediction begins."""

    def on_predict_end(self) -> None:
        """Prediction ends."""

    def on_predict_epoch_start(self) -> None:
        """Before the first batch to predict."""

    def on_predict_epoch_end(self) -> None:
        """After the last batch to predict, before metrics are reduced."""

    def on_predict_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """A batch to predict was read."""

    def on_predict_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """A batch to predict was predicted."""
