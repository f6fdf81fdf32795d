"""The user's network together with how it is trained and scored: Lightning's surface on plain torch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lifecycle.core.errors import UsageError
from lifecycle.train.hparams import HyperParameters, accepted, init_arguments
from lifecycle.train.metrics import Logbook, Reduction

if TYPE_CHECKING:
    from lifecycle.core.signature import Signature
    from lifecycle.train.trainer import Trainer

StepOutput: TypeAlias = "Tensor | Mapping[str, object] | None"


class Module(nn.Module):
    """Subclass it, write `forward`, `training_step` and `configure_optimizers`, and give it to a Trainer.

    Steps take whatever the loader yields, so they are declared with open arguments here; write yours
    with the types of your batches.

    Attributes:
        example_input_array: A batch (or tuple of batches) that `forward` accepts; names the input's
            shape and type for compression, export and serving.
        trainer: The trainer at work, or None.
    """

    example_input_array: Tensor | tuple[Tensor, ...] | None = None

    def __init__(self) -> None:
        super().__init__()
        self.trainer: Trainer | None = None
        self._hparams = HyperParameters()
        self._logbook: Logbook | None = None

    def __getstate__(self) -> dict[str, object]:
        """What a copy takes over: it belongs to no trainer."""
        return {**self.__dict__, "trainer": None, "_logbook": None}

    # What a user writes

    def training_step(self, *args: Any, **kwargs: Any) -> StepOutput:
        """Return the loss of ``(batch, batch_idx)``, a dictionary with a ``"loss"``, or None to skip it."""
        raise UsageError(_missing(self, "training_step(self, batch, batch_idx)", "return the loss"))

    def validation_step(self, *args: Any, **kwargs: Any) -> StepOutput:
        """Score ``(batch, batch_idx)`` of the validation split; log with `log`."""
        raise UsageError(_missing(self, "validation_step(self, batch, batch_idx)", "log a metric"))

    def test_step(self, *args: Any, **kwargs: Any) -> StepOutput:
        """Score ``(batch, batch_idx)`` of the test split; log with `log`."""
        raise UsageError(_missing(self, "test_step(self, batch, batch_idx)", "log a metric"))

    def predict_step(self, *args: Any, **kwargs: Any) -> object:
        """Answer for ``(batch, batch_idx)``; by default what `forward` gives for the batch."""
        return self(args[0])

    def configure_optimizers(self) -> object:
        """The optimizer and its schedulers, in one of the shapes that `lifecycle.train.optim` lists."""
        raise UsageError(
            _missing(self, "configure_optimizers(self)", "return torch.optim.AdamW(self.parameters())")
        )

    def signature(self) -> Signature | None:
        """Names, types, shapes and ranges of inputs and outputs, labels and task; None derives it."""
        return None

    def postprocess(self, outputs: Any) -> Mapping[str, Tensor]:
        """Named outputs that serving adds to those of `forward` (probabilities, say)."""
        return {}

    # What a user calls

    def log(
        self,
        name: str,
        value: object,
        prog_bar: bool = False,
        logger: bool = True,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: Reduction = "mean",
        batch_size: int | None = None,
    ) -> None:
        """Report a number.

        Args:
            name: Its name in metrics, logs, monitors and gates.
            value: A number or a tensor of one element; it is not read from its device here.
            prog_bar: Show it beside the progress bar.
            logger: Send it to the logger.
            on_step: Report each step's value; by default in training steps only.
            on_epoch: Report the epoch's reduction; by default everywhere but in training steps.
            reduce_fx: How an epoch is reduced; ``mean`` weighs by batch size.
            batch_size: Samples in this batch; by default the first axis of its first tensor.

        Raises:
            RuntimeError: there is no loop at work that could take it.
        """
        if self._logbook is None:
            raise RuntimeError(
                f"self.log('{name}', …) works in steps and hooks that a Trainer runs, not outside"
            )
        self._logbook.log(
            name,
            value,
            prog_bar=prog_bar,
            logger=logger,
            on_step=on_step,
            on_epoch=on_epoch,
            reduce_fx=reduce_fx,
            batch_size=batch_size,
        )

    def log_dict(self, dictionary: Mapping[str, object], **options: Any) -> None:
        """Report several numbers alike; options as for `log`."""
        for name, value in dictionary.items():
            self.log(name, value, **options)

    def save_hyperparameters(self, *, ignore: str | list[str] | tuple[str, ...] = ()) -> None:
        """Keep the arguments of ``__init__`` as `hparams`; call it there."""
        frame = inspect.currentframe()
        assert frame is not None and frame.f_back is not None
        names = (ignore,) if isinstance(ignore, str) else ignore
        self._hparams.update(init_arguments(frame.f_back, {"self", "__class__", *names}))

    @property
    def hparams(self) -> HyperParameters:
        """The arguments that `save_hyperparameters` kept."""
        return self._hparams

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: str | Path, **overrides: Any) -> Self:
        """Make the module with the arguments saved in a ``.ckpt`` and give it the weights."""
        from lifecycle.train.checkpoint import load_ckpt

        content = load_ckpt(Path(checkpoint_path))
        arguments = content.get("hyper_parameters", {})
        assert isinstance(arguments, dict)
        module = cls(**{**accepted(cls, arguments), **overrides})
        module.load_state_dict(content["state_dict"])  # type: ignore[arg-type]
        return module

    @property
    def current_epoch(self) -> int:
        """The epoch at work; 0 without a trainer."""
        return self.trainer.current_epoch if self.trainer else 0

    @property
    def global_step(self) -> int:
        """Optimizer steps so far; 0 without a trainer."""
        return self.trainer.global_step if self.trainer else 0

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    # Hooks, in the order of `lifecycle.train.hooks`; empty here, and not called unless overridden

    def setup(self, stage: str) -> None:
        """Before optimizers are made."""

    def teardown(self, stage: str) -> None:
        """After everything."""

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

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """A batch was read."""

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A batch was trained on."""

    def on_before_zero_grad(self, optimizer: Optimizer) -> None:
        """Gradients are about to be cleared."""

    def on_before_backward(self, loss: Tensor) -> None:
        """Gradients are about to be computed."""

    def on_after_backward(self) -> None:
        """Gradients are there."""

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Weights are about to change."""

    def on_validation_start(self) -> None:
        """Validation begins."""

    def on_validation_end(self) -> None:
        """Validation ends."""

    def on_validation_epoch_start(self) -> None:
        """Before the first validation batch."""

    def on_validation_epoch_end(self) -> None:
        """After the last validation batch, before its metrics are reduced."""

    def on_validation_batch_start(self, batch: Any, batch_idx: int) -> None:
        """A validation batch was read."""

    def on_validation_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A validation batch was scored."""

    def on_test_start(self) -> None:
        """Test begins."""

    def on_test_end(self) -> None:
        """Test ends."""

    def on_test_epoch_start(self) -> None:
        """Before the first test batch."""

    def on_test_epoch_end(self) -> None:
        """After the last test batch, before its metrics are reduced."""

    def on_test_batch_start(self, batch: Any, batch_idx: int) -> None:
        """A test batch was read."""

    def on_test_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A test batch was scored."""

    def on_predict_start(self) -> None:
        """Prediction begins."""

    def on_predict_end(self) -> None:
        """Prediction ends."""

    def on_predict_epoch_start(self) -> None:
        """Before the first batch to predict."""

    def on_predict_epoch_end(self) -> None:
        """After the last batch to predict."""

    def on_predict_batch_start(self, batch: Any, batch_idx: int) -> None:
        """A batch to predict was read."""

    def on_predict_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A batch was predicted."""


def _missing(module: Module, method: str, body: str) -> str:
    return f"{type(module).__name__} defines no {method.partition('(')[0]}; add `def {method}: …` and {body}"
