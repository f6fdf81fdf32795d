"""What a callback may do: Lightning's hooks under their names, in their order, with their arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer


class Callback:
    """Override what you need; a hook that is not overridden is never called.

    Attributes:
        saves: True for callbacks that write checkpoints: they run last, and `save_if_due` is the last act of
            every step, so that they see what everyone else logged.
        monitors: True for callbacks that look at a metric: at the end of an epoch they run after the module.
        tunes: True for callbacks that settle options before a fit: they run first.
        times: True for callbacks that are told, by `phase_begins` and `phase_ends`, which part of a training
            step is at work.
    """

    saves: ClassVar[bool] = False
    monitors: ClassVar[bool] = False
    tunes: ClassVar[bool] = False
    times: ClassVar[bool] = False

    @property
    def state_key(self) -> str:
        """The key of `state_dict` in a checkpoint; give each instance its own when there are several."""
        return type(self).__qualname__

    def _generate_state_key(self, **options: object) -> str:
        """A `state_key` that tells instances apart by their options."""
        return f"{type(self).__qualname__}{options!r}"

    def state_dict(self) -> dict[str, object]:
        """What a resumed fit needs of this callback; plain values and tensors."""
        return {}

    def load_state_dict(self, state_dict: Mapping[str, object]) -> None:
        """Take back what `state_dict` gave."""

    def take_over(self, pl_module: Module, state_dict: Mapping[str, object]) -> None:
        """A verb has run in processes that were started from this one, where this callback ended so.

        One that changes a module's structure changes that of this process too: its weights come next.

        Args:
            pl_module: As it was given to the verb.
            state_dict: What `state_dict` gave there; empty where that was nothing.
        """
        if state_dict:
            self.load_state_dict(state_dict)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: Module, checkpoint: dict[str, object]) -> None:
        """A checkpoint is about to be written; it may be added to."""

    def on_load_checkpoint(self, trainer: Trainer, pl_module: Module, checkpoint: dict[str, object]) -> None:
        """A checkpoint was read, nothing is restored yet."""

    def save_if_due(
        self, trainer: Trainer, pl_module: Module, *, stepped: bool, validated: bool, epoch_ended: bool
    ) -> None:
        """Write a checkpoint if it is time; called for classes with `saves` only, after every batch.

        Args:
            trainer: Stands where a resumed fit will go on.
            pl_module: The module.
            stepped: The batch ended in an optimizer step.
            validated: A validation ran after it.
            epoch_ended: It was the last of the epoch, whose end hooks have run.
        """

    def phase_begins(self, name: str) -> None:
        """A part of a training step begins; called for classes with `times` only.

        Args:
            name: ``data`` (waiting for the loader), ``transfer``, ``sync`` (what processes exchange before
                gradients), ``forward``, ``backward`` or ``optimizer``; they may lie within each other.
        """

    def phase_ends(self, name: str) -> None:
        """The part that began last ends, or was left by an exception."""

    def on_exception(self, trainer: Trainer, pl_module: Module, exception: BaseException) -> None:
        """Something was raised, an interrupt included; it goes on after this."""

    def setup(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """Before optimizers are made; the module may still be changed."""

    def teardown(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """After everything."""

    def on_fit_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Fit begins; state of a checkpoint is restored already."""

    def on_fit_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Fit ends."""

    def on_sanity_check_start(self, trainer: Trainer, pl_module: Module) -> None:
        """The short validation before a fit begins."""

    def on_sanity_check_end(self, trainer: Trainer, pl_module: Module) -> None:
        """The short validation before a fit ends."""

    def on_train_start(self, trainer: Trainer, pl_module: Module) -> None:
        """The first epoch is about to begin."""

    def on_train_end(self, trainer: Trainer, pl_module: Module) -> None:
        """The last epoch has ended."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Module) -> None:
        """An epoch begins."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Module) -> None:
        """An epoch ends, its validation included."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: Module, batch: object, batch_idx: int
    ) -> None:
        """A batch was read."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Module, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """A batch was trained on; `outputs` holds the detached ``loss`` and what the step gave beside it."""

    def on_before_zero_grad(self, trainer: Trainer, pl_module: Module, optimizer: Optimizer) -> None:
        """Gradients are about to be cleared."""

    def on_before_backward(self, trainer: Trainer, pl_module: Module, loss: Tensor) -> None:
        """Gradients are about to be computed."""

    def on_after_backward(self, trainer: Trainer, pl_module: Module) -> None:
        """Gradients are there."""

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Module, optimizer: Optimizer) -> None:
        """Weights are about to change; gradients are not clipped yet."""

    def on_validation_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Validation begins."""

    def on_validation_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Validation ends; its metrics are in ``trainer.callback_metrics``."""

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Before the first validation batch."""

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Module) -> None:
        """After the last validation batch, before its metrics are reduced."""

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: Module, batch: object, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """A validation batch was read."""

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: Module,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """A validation batch was scored."""

    def on_test_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Test begins."""

    def on_test_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Test ends."""

    def on_test_epoch_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Before the first test batch."""

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Module) -> None:
        """After the last test batch, before its metrics are reduced."""

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: Module, batch: object, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """A test batch was read."""

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: Module,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """A test batch was scored."""

    def on_predict_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Prediction begins."""

    def on_predict_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Prediction ends."""

    def on_predict_epoch_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Before the first batch to predict."""

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: Module) -> None:
        """After the last batch to predict."""

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: Module, batch: object, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """A batch to predict was read."""

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: Module,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """A batch was predicted."""
