"""Keeps a running average of the weights, and validates, saves and ends with it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn, get_swa_avg_fn

from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks.base import Callback

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer

log = logging.getLogger(__name__)
_PREFIX = "module."  # of the averaged model's state


class WeightAveraging(Callback):
    """Averages the weights after every optimizer step (or as `should_update` says).

    The averaged weights take the place of the module's during validation and when training has ended.
    A checkpoint holds them as ``state_dict``, the trained ones as ``current_model_state``, and the
    count of what was averaged as ``averaging_state``; a resumed fit goes on from both.

    Args:
        device: Where the average is kept; None where the module is.
        use_buffers: Average buffers too; otherwise they are copied from the module.
        kwargs: For `torch.optim.swa_utils.AveragedModel`: ``avg_fn`` or ``multi_avg_fn``; without
            them all weights count alike.
    """

    def __init__(
        self,
        device: torch.device | str | int | None = None,
        use_buffers: bool = True,
        **kwargs: Any,
    ) -> None:
        self._device = torch.device(device) if isinstance(device, str) else device
        self._use_buffers = use_buffers
        if not {"avg_fn", "multi_avg_fn"} & kwargs.keys():
            # What torch does by itself fails on GPUs for whole numbers, as batch normalisation counts with.
            kwargs["avg_fn"] = get_swa_avg_fn()  # type: ignore[no-untyped-call]
        self._kwargs = kwargs
        self._average_model: AveragedModel | None = None
        self._fitting = False
        self._ended = False
        self._swapped = False  # the module holds the average, the averaged model what is trained
        self._latest_update_step = 0
        self._latest_update_epoch = -1

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Whether to take the weights into the average; override it.

        Args:
            step_idx: The optimizer step just done, from 0; None at the end of an epoch.
            epoch_idx: The epoch just done, from 0; None after a step.
        """
        return step_idx is not None

    def setup(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """Begin an average, at the module's own weights."""
        self._fitting = stage == "fit"
        if self._fitting:
            pl_module.configure_model()  # the average needs every layer
            self._average_model = AveragedModel(pl_module, use_buffers=self._use_buffers, **self._kwargs)
            self._swapped = self._ended = False
            self._latest_update_step = 0
            self._latest_update_epoch = -1

    def on_fit_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Keep the average where it is wanted: the module is on its device by now."""
        self._average.to(pl_module.device if self._device is None else self._device)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Module, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Average after an optimizer step."""
        step = trainer.global_step
        if step > self._latest_update_step and self.should_update(step_idx=step - 1):
            self._average.update_parameters(pl_module)
            self._latest_update_step = step

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Average after an epoch."""
        epoch = trainer.current_epoch
        if epoch > self._latest_update_epoch and self.should_update(epoch_idx=epoch):
            self._average.update_parameters(pl_module)
            self._latest_update_epoch = epoch

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Validate the average."""
        if self._fitting:
            self._swap(pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Go on training what was trained."""
        if self._fitting:
            self._swap(pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Leave the average in the module; what was trained stays here, for checkpoints still to come."""
        self._swap(pl_module)
        self._ended = True

    def on_exception(self, trainer: Trainer, pl_module: Module, exception: BaseException) -> None:
        """A fit that broke in its validation leaves the module with what was trained."""
        if self._fitting and self._swapped and not self._ended:
            self._swap(pl_module)

    def state_dict(self) -> dict[str, object]:
        """Up to where was averaged; the weights are beside those of the module."""
        return {
            "latest_update_step": self._latest_update_step,
            "latest_update_epoch": self._latest_update_epoch,
        }

    def load_state_dict(self, state_dict: Mapping[str, object]) -> None:
        """Go on from there."""
        self._latest_update_step = cast("int", state_dict["latest_update_step"])
        self._latest_update_epoch = cast("int", state_dict.get("latest_update_epoch", -1))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: Module, checkpoint: dict[str, object]) -> None:
        """Put the average under ``state_dict`` and what is trained under ``current_model_state``."""
        if self._average_model is None:
            log.info("a checkpoint outside a fit holds no state of %s", type(self).__name__)
            return
        state = self._average_model.state_dict()
        held = {
            name.removeprefix(_PREFIX): value for name, value in state.items() if name.startswith(_PREFIX)
        }
        own = checkpoint["state_dict"]
        checkpoint["state_dict"], checkpoint["current_model_state"] = (
            (own, held) if self._swapped else (held, own)
        )
        checkpoint["averaging_state"] = {
            name: value for name, value in state.items() if not name.startswith(_PREFIX)
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: Module, checkpoint: dict[str, object]) -> None:
        """Take both back; a checkpoint without an average begins one with its weights."""
        if not self._fitting:
            return  # validation, test and prediction use the average, which is ``state_dict``
        average = cast("Mapping[str, Tensor]", checkpoint["state_dict"])
        if "current_model_state" not in checkpoint or "averaging_state" not in checkpoint:
            warnings.warn(
                f"the checkpoint holds no average, so that of {type(self).__name__} begins with its weights",
                stacklevel=2,
            )
            self._average.module.load_state_dict(average, strict=False)
            return
        counts = cast("Mapping[str, Tensor]", checkpoint["averaging_state"])
        self._average.load_state_dict({_PREFIX + name: value for name, value in average.items()} | {**counts})
        current = cast("Mapping[str, Tensor]", checkpoint["current_model_state"])
        # For whoever loads the module from the checkpoint after this, and for those who did before.
        checkpoint["state_dict"] = current
        pl_module.load_state_dict(current)

    @property
    def _average(self) -> AveragedModel:
        assert self._average_model is not None
        return self._average_model

    @torch.no_grad()
    def _swap(self, pl_module: Module) -> None:
        """Exchange the values of the module and the average, leaving the tensors where they are."""
        for average, current in zip(_tensors(self._average.module), _tensors(pl_module), strict=True):
            held = average.clone()
            average.copy_(current)
            current.copy_(held)
        self._swapped = not self._swapped


class EMAWeightAveraging(WeightAveraging):
    """An exponential moving average: ``decay * average + (1 - decay) * weights`` at each update.

    Args:
        device: Where the average is kept; None where the module is.
        use_buffers: Average buffers too; otherwise they are copied from the module.
        decay: How much of the average an update keeps.
        update_every_n_steps: Update after every n-th optimizer step, the first included.
        update_starting_at_step: Not before this step, from 0.
        update_starting_at_epoch: Update at the end of epochs too, from this one on, from 0.
        kwargs: For `torch.optim.swa_utils.AveragedModel`.

    Source: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992.
    """

    def __init__(
        self,
        device: torch.device | str | int | None = None,
        use_buffers: bool = True,
        decay: float = 0.999,
        update_every_n_steps: int = 1,
        update_starting_at_step: int | None = None,
        update_starting_at_epoch: int | None = None,
        **kwargs: Any,
    ) -> None:
        if not 0.0 <= decay <= 1.0:
            raise UsageError(f"EMAWeightAveraging(decay={decay}): expected a number from 0 to 1")
        super().__init__(device, use_buffers, **kwargs, avg_fn=get_ema_avg_fn(decay))  # type: ignore[no-untyped-call]
        self.update_every_n_steps = update_every_n_steps
        self.update_starting_at_step = update_starting_at_step
        self.update_starting_at_epoch = update_starting_at_epoch

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """As the arguments of the class say."""
        if step_idx is not None:
            every, start = self.update_every_n_steps, self.update_starting_at_step or 0
            return every > 0 and step_idx >= start and step_idx % every == 0
        start_epoch = self.update_starting_at_epoch
        return epoch_idx is not None and start_epoch is not None and epoch_idx >= start_epoch


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    return chain(module.parameters(), module.buffers())
