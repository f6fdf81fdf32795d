"""The user's network together with how it is trained and scored: Lightning's surface on plain torch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from lifecycle.core.errors import UsageError
from lifecycle.train.hparams import HyperParameters
from lifecycle.train.log_entry import Reduction
from lifecycle.train.metrics import Logbook
from lifecycle.train.module_place import PlacedModule
from lifecycle.train.overridable import StepOutput

__all__ = ["Module", "StepOutput"]


class Module(PlacedModule):
    """Subclass it, write `forward`, `training_step` and `configure_optimizers`, and give it to a Trainer.

    Steps take whatever the loader yields, so they are declared with open arguments here; write yours
    with the types of your batches.

    Attributes:
        example_input_array: A batch (or tuple of batches) that `forward` accepts; names the
            input's shape and type for summaries, compression, export and serving.
        trainer: The trainer at work, or None.
        automatic_optimization: False when `training_step` steps the optimizers itself.
        strict_loading: Whether a checkpoint must have exactly this module's keys.
    """

    example_input_array: Tensor | tuple[Tensor, ...] | None = None
    strict_loading: bool = True
    allow_zero_length_dataloader_with_multiple_devices: bool = False
    _hparams: HyperParameters | None = None  # may be saved before __init__ is called
    _hparams_initial: HyperParameters | None = None
    _log_hyperparams: bool = False
    # What torch.jit.script is not to compile.
    __jit_unused_properties__ = (
        "current_epoch",
        "device",
        "dtype",
        "global_rank",
        "global_step",
        "hparams",
        "hparams_initial",
        "local_rank",
        "logger",
        "loggers",
        "on_gpu",
    )
    __jit_ignored_attributes__ = (
        "_hparams",
        "_hparams_initial",
        "_log_hyperparams",
        "_logbook",
        "allow_zero_length_dataloader_with_multiple_devices",
        "automatic_optimization",
        "example_input_array",
        "strict_loading",
        "trainer",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.trainer = None
        self._logbook: Logbook | None = None

    def __getstate__(self) -> dict[str, object]:
        """What a copy takes over: it belongs to no trainer, and its forward is its own."""
        state = {**self.__dict__, "trainer": None, "_logbook": None}
        if hasattr(state.get("forward"), "compiles"):
            del state["forward"]
        return state

    # Logging

    def log(
        self,
        name: str,
        value: object,
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: Reduction = "mean",
        enable_graph: bool = False,
        sync_dist: bool = False,
        sync_dist_group: object = None,
        add_dataloader_idx: bool = True,
        batch_size: int | None = None,
        metric_attribute: str | None = None,
        rank_zero_only: bool = False,
    ) -> None:
        """Report a number.

        Args:
            name: Its name in metrics, logs, monitors and gates.
            value: A number, a tensor of one element, or a torchmetrics object, which is computed and reset
                when the epoch ends; it is not read from its device here.
            prog_bar: Show it beside the progress bar.
            logger: Send it to the loggers; by default yes.
            on_step: Report each step's value; the default depends on the hook (`lifecycle.train.log_rules`).
            on_epoch: Report the epoch's reduction; likewise.
            reduce_fx: How an epoch is reduced: ``mean`` (weighted by batch size), ``sum``, ``min``, ``max``.
            enable_graph: Keep the value's graph.
            sync_dist: Reduce the value of each step over processes in training; an epoch's always is.
            sync_dist_group: All processes, whatever this says.
            add_dataloader_idx: With several loaders, add the index of the one at work to the name.
            batch_size: Samples in this batch; by default the first axis of its first tensor.
            metric_attribute: Not needed: a torchmetrics object is found by itself.
            rank_zero_only: Log what the first process has.

        Raises:
            UsageError: nothing can be logged here, or the value is not a number.
        """
        book = self._logbook
        if book is None:
            self._log_without_a_loop(name)
            return
        if rank_zero_only and self.global_rank:
            return
        options = (
            prog_bar,
            logger,
            on_step,
            on_epoch,
            reduce_fx,
            enable_graph,
            sync_dist,
            add_dataloader_idx,
        )
        book.log(name, value, options, batch_size)

    def log_dict(self, dictionary: Mapping[str, object], *args: Any, **options: Any) -> None:
        """Report several numbers alike; further arguments as for `log`."""
        # A torchmetrics collection copies its states for every reader unless told not to.
        collection = hasattr(dictionary, "compute_groups")
        how: dict[str, Any] = {"keep_base": False, "copy_state": False} if collection else {}
        for name, value in dictionary.items(**how):
            self.log(name, value, *args, **options)

    def _log_without_a_loop(self, name: str) -> None:
        if self.trainer is None:
            # Steps are tried out without a trainer, in tests and notebooks.
            warnings.warn(
                f"self.log('{name}', …) has nowhere to go: the module belongs to no Trainer yet", stacklevel=3
            )
        elif self.trainer.barebones:
            warnings.warn(f"self.log('{name}', …) does nothing: Trainer(barebones=True)", stacklevel=3)
        else:
            raise UsageError(
                f"self.log('{name}', …) works in steps and hooks that a Trainer runs, not outside of them"
            )

    def print(self, *args: object, **options: Any) -> None:
        """Print a line above the progress bar."""
        if self.trainer is None:
            print(*args, **options)
        else:
            self.trainer.print(*args, **options)

    # Parameters and files

    def freeze(self) -> Self:
        """Take no gradients any more, in evaluation mode."""
        self.requires_grad_(False)
        return self.eval()

    def unfreeze(self) -> Self:
        """Undo `freeze`, in training mode."""
        self.requires_grad_(True)
        return self.train()

    def to_onnx(self, file_path: str | Path, input_sample: object = None, **options: Any) -> object:
        """Export `forward` as ONNX; see `torch.onnx.export` for options."""
        from lifecycle.train.exporting import to_onnx

        return to_onnx(self, Path(file_path), input_sample, **options)

    def to_torchscript(
        self,
        file_path: str | Path | None = None,
        method: str | None = "script",
        example_inputs: object = None,
        **options: Any,
    ) -> Any:
        """TorchScript of `forward`, by ``script`` or ``trace``; written to a file if one is named."""
        from lifecycle.train.exporting import to_torchscript

        return to_torchscript(self, file_path, method, example_inputs, **options)

    def save_hyperparameters(
        self,
        *args: Any,
        ignore: Sequence[str] | str | None = None,
        frame: Any = None,
        logger: bool = True,
    ) -> None:
        """Keep the arguments of ``__init__``, those named, or what is given, as `hparams`; call it there."""
        import inspect

        from lifecycle.train.hparams import saved

        here = inspect.currentframe()
        found = saved(self.hparams, args, ignore, frame or (here.f_back if here else None))
        self._hparams, self._hparams_initial, self._log_hyperparams = found, found.copied(), logger

    @property
    def hparams(self) -> HyperParameters:
        """The arguments that `save_hyperparameters` kept."""
        if self._hparams is None:
            self._hparams = HyperParameters()
        return self._hparams

    @property
    def hparams_initial(self) -> HyperParameters:
        """What `save_hyperparameters` kept, whatever was changed since."""
        return HyperParameters() if self._hparams_initial is None else self._hparams_initial.copied()

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path,
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **overrides: Any,
    ) -> Self:
        """Make the module with the arguments saved in a ``.ckpt`` and give it the weights.

        Args:
            checkpoint_path: The file.
            map_location: Where its tensors go.
            hparams_file: Holds the arguments instead, as YAML or CSV.
            strict: Whether the file must have exactly this module's keys.
            weights_only: Of no effect: nothing but tensors and plain values is ever read.
            overrides: Arguments that replace those of the checkpoint.
        """
        from lifecycle.train.restoring import load_module

        return load_module(cls, Path(checkpoint_path), map_location, strict, overrides, hparams_file)
