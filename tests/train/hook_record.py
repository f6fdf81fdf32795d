"""A module, a callback and a data module that write down every hook that is called, with its arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import StepLR

import lifecycle as pl

_EVALUATION = [
    f"on_{kind}_{moment}"
    for kind in ("validation", "test", "predict")
    for moment in ("start", "end", "epoch_start", "epoch_end", "batch_start", "batch_end")
]
_BOTH = [
    *("setup", "teardown", "on_fit_start", "on_fit_end", "on_train_start", "on_train_end"),
    *("on_train_epoch_start", "on_train_epoch_end", "on_train_batch_start", "on_train_batch_end"),
    *("on_before_zero_grad", "on_before_backward", "on_after_backward", "on_before_optimizer_step"),
    *("on_save_checkpoint", "on_load_checkpoint", "state_dict", "load_state_dict"),
    *_EVALUATION,
]
_TRANSFER = ["on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer"]
_LOADERS = [f"{split}_dataloader" for split in ("train", "val", "test", "predict")]
CALLBACK_HOOKS = [*_BOTH, "on_sanity_check_start", "on_sanity_check_end", "on_exception"]
DATA_HOOKS = [
    *_TRANSFER,
    *_LOADERS,
    *["prepare_data", "setup", "teardown", "state_dict", "load_state_dict", "on_exception"],
]
MODULE_HOOKS = [
    *_BOTH,
    *_TRANSFER,
    *("prepare_data", "configure_model", "configure_callbacks", "configure_optimizers"),
    *("optimizer_step", "optimizer_zero_grad", "backward", "configure_gradient_clipping"),
    *("lr_scheduler_step", "on_validation_model_zero_grad"),
    *("on_validation_model_eval", "on_validation_model_train", "on_test_model_eval"),
    *("on_test_model_train", "on_predict_model_eval", "training_step", "validation_step", "test_step"),
    *("predict_step", "forward", "zero_grad", "train", "eval"),
]


class Loader:
    """So many batches of two samples."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[list[Tensor]]:
        return iter([[torch.ones(2, 4)] for _ in range(self.count)])

    def __len__(self) -> int:
        return self.count


class Recorded:
    """Who takes part in a run, and what was called.

    Args:
        train: Training batches of an epoch.
        evaluated: Batches of each other loader.
        loaders: How many loaders there are besides the one to train on.
        automatic: Whether the trainer steps the optimizer.
        datamodule: Whether a data module brings the loaders; else the module does.
        schedules: Whether there is a schedule of epochs and one of steps.

    Attributes:
        calls: What was called, as ``owner.hook(arguments)``: owners are ``c`` the callback, ``m`` the
            module, ``d`` the data module. ``B`` is a batch, ``T`` a tensor (``Tg`` one with a graph),
            ``opt`` an optimizer, ``fn`` a function, ``ckpt`` a checkpoint.
    """

    def __init__(
        self,
        *,
        train: int = 2,
        evaluated: int = 1,
        loaders: int = 1,
        automatic: bool = True,
        datamodule: bool = True,
        schedules: bool = True,
    ) -> None:
        self.calls: list[str] = []
        self._train = train
        self._evaluated = evaluated
        self._loaders = loaders
        module = self._recording("m", _Trained, MODULE_HOOKS)
        self.data = self._recording("d", _with_loaders(_Data, self), DATA_HOOKS)() if datamodule else None
        if not datamodule:
            module = self._recording("m", _with_loaders(module, self), _LOADERS)
        self.module = module(automatic=automatic, schedules=schedules)
        self.callback = self._recording("c", _Stateful, CALLBACK_HOOKS)()
        self.calls.clear()

    def train_loader(self) -> Loader:
        return Loader(self._train)

    def other_loaders(self) -> Loader | list[Loader]:
        found = [Loader(self._evaluated) for _ in range(self._loaders)]
        return found[0] if len(found) == 1 else found

    def trainer(self, *callbacks: pl.Callback, **options: Any) -> pl.Trainer:
        """A trainer with the callback, without a short validation before the fit unless told to."""
        silent = dict.fromkeys(
            ("enable_checkpointing", "enable_model_summary", "enable_progress_bar", "logger"), False
        )
        given = {**silent, "num_sanity_val_steps": 0, "max_epochs": 1, **options}
        return pl.Trainer(callbacks=[self.callback, *callbacks], **given)

    def fit(self, *callbacks: pl.Callback, ckpt_path: object = None, **options: Any) -> list[str]:
        """Fit with a trainer of these options; what was called."""
        trainer: Any = self.trainer(*callbacks, **options)
        trainer.fit(self.module, datamodule=self.data, ckpt_path=ckpt_path)
        return self.calls

    def _recording(self, owner: str, base: Any, names: Sequence[str]) -> Any:
        """A subclass of `base` that writes down calls before it passes them on."""

        def recorder(name: str) -> Callable[..., Any]:
            def hook(this: Any, *given: Any, **named: Any) -> Any:
                shown = [_shown(value) for value in given if not isinstance(value, pl.Trainer | pl.Module)]
                shown += [f"{key}={_shown(value)}" for key, value in named.items()]
                self.calls.append(f"{owner}.{name}" + (f"({','.join(shown)})" if shown else ""))
                return getattr(super(recording, this), name)(*given, **named)

            return hook

        recording = type(f"Recording{base.__name__}", (base,), {name: recorder(name) for name in names})
        return recording


def expanded(text: str) -> list[str]:
    """A list of calls from a short notation.

    ``cm.hook(…)`` stands for ``c.hook(…)`` and then ``m.hook(…)``; words are separated by white space.
    """
    found = []
    for word in text.split():
        owners, _, hook = word.partition(".")
        found += [f"{owner}.{hook}" for owner in owners]
    return found


class _Trained(pl.Module):
    def __init__(self, *, automatic: bool, schedules: bool) -> None:
        super().__init__()
        self.automatic_optimization = automatic
        self.schedules = schedules
        self.layer = nn.Linear(4, 1)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor | None:
        if self.automatic_optimization:
            return self.layer(batch[0]).sum()  # type: ignore[no-any-return]
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.layer(batch[0]).sum())
        optimizer.step()
        return None

    def validation_step(self, batch: list[Tensor], batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        return self.layer(batch[0]).sum()  # type: ignore[no-any-return]

    test_step = predict_step = validation_step

    def configure_optimizers(self) -> object:
        optimizer = SGD(self.parameters(), lr=0.1)
        if not self.schedules:
            return optimizer
        return [optimizer], [StepLR(optimizer, 1), {"scheduler": StepLR(optimizer, 1), "interval": "step"}]


class _Stateful(pl.Callback):
    def state_dict(self) -> dict[str, object]:
        return {"kept": 1}


class _Data(pl.DataModule):
    def state_dict(self) -> dict[str, Any]:
        return {"kept": 1}


def _with_loaders(base: Any, recorded: Recorded) -> Any:
    """A subclass of `base` that brings loaders."""

    def of(give: Callable[[], object]) -> Callable[[object], object]:
        return lambda owner: give()

    methods: dict[str, Any] = dict.fromkeys(_LOADERS, of(recorded.other_loaders))
    return type(base.__name__, (base,), {**methods, "train_dataloader": of(recorded.train_loader)})


def _shown(value: Any) -> str:
    if value is None or isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, Tensor):
        return "Tg" if value.requires_grad else "T"
    if isinstance(value, torch.optim.Optimizer):
        return "opt"
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, Mapping):
        return "ckpt" if "state_dict" in value else f"{{{','.join(sorted(map(str, value)))}}}"
    if isinstance(value, list):
        return "B"
    if isinstance(value, BaseException) or not callable(value):
        return type(value).__name__
    return "fn"
