"""Trains a part of a network first, and the rest from a later epoch on."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias, cast

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.freezing import (
    Group,
    exchanged,
    frozen,
    identities,
    refreeze,
    set_trainable,
    widen,
)

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer

log = logging.getLogger(__name__)

Modules: TypeAlias = "nn.Module | Iterable[Modules]"


def multiplicative(epoch: int) -> float:
    """Double it every epoch."""
    return 2.0


class BaseFinetuning(Callback):
    """Freezes and unfreezes parts of a module; subclasses say which and when.

    Override `freeze_before_training`, called before the optimizer is made (which should take only
    parameters that require gradients), and `finetune_function`, called at the start of every epoch
    for each optimizer.

    A resumed fit has the optimizers' groups back, and is frozen where the interrupted one was.
    """

    def __init__(self) -> None:
        self._internal_optimizer_metadata: dict[int, list[Group]] = {}
        self._frozen: dict[str, list[str]] = {}
        self._restarting = False

    def freeze_before_training(self, pl_module: Module) -> None:
        """Freeze what is not to be trained at first."""
        raise UsageError(f"{type(self).__name__} defines no freeze_before_training(self, pl_module)")

    def finetune_function(self, pl_module: Module, epoch: int, optimizer: Optimizer) -> None:
        """Unfreeze what this epoch is to train as well, and give it to the optimizer."""
        raise UsageError(
            f"{type(self).__name__} defines no finetune_function(self, pl_module, epoch, optimizer)"
        )

    # What subclasses build on

    @staticmethod
    def flatten_modules(modules: Modules) -> list[nn.Module]:
        """Those modules, at any depth, that have no children or have parameters of their own; each once."""
        if isinstance(modules, nn.Module):
            return [part for part in modules.modules() if part._parameters or not any(part.children())]
        flat = (part for module in modules for part in BaseFinetuning.flatten_modules(module))
        return list(dict.fromkeys(flat))

    @staticmethod
    def filter_params(
        modules: Modules, train_bn: bool = True, requires_grad: bool = True
    ) -> Iterator[nn.Parameter]:
        """Parameters that do (or do not) require gradients; those of batch norms only if `train_bn`."""
        for module in BaseFinetuning.flatten_modules(modules):
            if train_bn or not isinstance(module, _BatchNorm):
                yield from (p for p in module.parameters(recurse=False) if p.requires_grad == requires_grad)

    @staticmethod
    def make_trainable(modules: Modules) -> None:
        """Unfreeze."""
        for module in BaseFinetuning.flatten_modules(modules):
            set_trainable(module, True)

    @staticmethod
    def freeze_module(module: nn.Module) -> None:
        """Freeze the parameters of one module, without its children; a batch norm keeps its statistics."""
        set_trainable(module, False)

    @staticmethod
    def freeze(modules: Modules, train_bn: bool = True) -> None:
        """Freeze everything; batch norms stay trainable if `train_bn`."""
        for module in BaseFinetuning.flatten_modules(modules):
            set_trainable(module, train_bn and isinstance(module, _BatchNorm))

    @staticmethod
    def filter_on_optimizer(optimizer: Optimizer, params: Iterable[nn.Parameter]) -> list[nn.Parameter]:
        """Those parameters that the optimizer does not have yet; warns if there were others."""
        known = identities(optimizer)
        params = list(params)
        new = [param for param in params if id(param) not in known]
        if len(new) < len(params):
            warnings.warn(
                f"{len(params) - len(new)} of {len(params)} parameters that are unfrozen belong to the "
                f"{type(optimizer).__name__} already and stay in their groups; make it in "
                "configure_optimizers from those parameters that require gradients",
                stacklevel=2,
            )
        return new

    @staticmethod
    def unfreeze_and_add_param_group(
        modules: Modules,
        optimizer: Optimizer,
        lr: float | None = None,
        initial_denom_lr: float = 10.0,
        train_bn: bool = True,
    ) -> None:
        """Unfreeze, and add a group to the optimizer.

        Args:
            modules: What is unfrozen.
            optimizer: What trains it.
            lr: Its learning rate; None takes that of the first group, divided by `initial_denom_lr`.
            initial_denom_lr: See `lr`.
            train_bn: Whether batch norms are given to the optimizer too.
        """
        trained = {id(p) for p in BaseFinetuning.filter_params(modules)} & identities(optimizer)
        BaseFinetuning.make_trainable(modules)
        rate = optimizer.param_groups[0]["lr"] / initial_denom_lr if lr is None else float(lr)
        # What was trained all along, batch norms mostly, stays where it is.
        params = (p for p in BaseFinetuning.filter_params(modules, train_bn) if id(p) not in trained)
        if new := BaseFinetuning.filter_on_optimizer(optimizer, params):
            optimizer.add_param_group({"params": new, "lr": rate})

    # Hooks

    def setup(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """Freeze."""
        if stage == "fit":
            self._restarting = False
            self.freeze_before_training(pl_module)

    def on_fit_start(self, trainer: Trainer, pl_module: Module) -> None:
        """After a resume: restore what is frozen, and the optimizers' groups, which their state is to fit."""
        if not self._restarting:
            return
        self._restarting = False
        refreeze(pl_module, self._frozen)
        parameters = dict(pl_module.named_parameters())
        for index, optimizer in enumerate(trainer.optimizers):
            if index in self._internal_optimizer_metadata:
                groups = self._internal_optimizer_metadata[index]
                optimizer.param_groups = [exchanged(group, parameters) for group in groups]
        widen(trainer.lr_scheduler_configs)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Let the subclass act."""
        for optimizer in trainer.optimizers:
            self.finetune_function(pl_module, trainer.current_epoch, optimizer)
        widen(trainer.lr_scheduler_configs)
        self._record(trainer, pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: Module, checkpoint: dict[str, object]) -> None:
        """Take what other hooks changed into the checkpoint too."""
        self._record(trainer, pl_module)
        states = cast("dict[str, object]", checkpoint.setdefault("callbacks", {}))
        states[self.state_key] = self.state_dict()

    def state_dict(self) -> dict[str, object]:
        """The optimizers' groups with their parameters' names, and the names of what is frozen."""
        return {"internal_optimizer_metadata": self._internal_optimizer_metadata, "frozen": self._frozen}

    def load_state_dict(self, state_dict: Mapping[str, object]) -> None:
        """Keep it until the optimizers are made."""
        self._restarting = True
        groups = state_dict["internal_optimizer_metadata"]
        self._internal_optimizer_metadata = cast("dict[int, list[Group]]", groups)
        self._frozen = cast("dict[str, list[str]]", state_dict.get("frozen", {}))

    def _record(self, trainer: Trainer, pl_module: Module) -> None:
        names = {param: name for name, param in pl_module.named_parameters()}
        self._internal_optimizer_metadata = {
            index: [exchanged(group, names) for group in optimizer.param_groups]
            for index, optimizer in enumerate(trainer.optimizers)
        }
        self._frozen = frozen(pl_module)


class BackboneFinetuning(BaseFinetuning):
    """Trains the head of a network first, then its ``backbone`` too, with a learning rate that grows.

    Args:
        unfreeze_backbone_at_epoch: The first epoch that trains the backbone.
        lambda_func: By what the backbone's learning rate is multiplied, given the epoch to come.
        backbone_initial_ratio_lr: The backbone's first learning rate as a fraction of the head's.
        backbone_initial_lr: The same as a number.
        should_align: Never let it exceed the head's.
        initial_denom_lr: Kept for Lightning's signature; the first rate is always known here.
        train_bn: Whether the backbone's batch norms are given to the optimizer.
        verbose: Log both learning rates each epoch.
        rounding: Decimals in that log.

    Raises:
        UsageError: the module has no attribute ``backbone`` that is a module.
    """

    def __init__(
        self,
        unfreeze_backbone_at_epoch: int = 10,
        lambda_func: Callable[[int], float] = multiplicative,
        backbone_initial_ratio_lr: float = 10e-2,
        backbone_initial_lr: float | None = None,
        should_align: bool = True,
        initial_denom_lr: float = 10.0,
        train_bn: bool = True,
        verbose: bool = False,
        rounding: int = 12,
    ) -> None:
        super().__init__()
        self.unfreeze_backbone_at_epoch = unfreeze_backbone_at_epoch
        self.lambda_func = lambda_func
        self.backbone_initial_ratio_lr = backbone_initial_ratio_lr
        self.backbone_initial_lr = backbone_initial_lr
        self.should_align = should_align
        self.initial_denom_lr = initial_denom_lr
        self.train_bn = train_bn
        self.verbose = verbose
        self.rounding = rounding
        self.previous_backbone_lr: float | None = None

    def state_dict(self) -> dict[str, object]:
        """That of the base class, and the backbone's learning rate."""
        return {**super().state_dict(), "previous_backbone_lr": self.previous_backbone_lr}

    def load_state_dict(self, state_dict: Mapping[str, object]) -> None:
        """Go on from that learning rate."""
        self.previous_backbone_lr = cast("float | None", state_dict["previous_backbone_lr"])
        super().load_state_dict(state_dict)

    def freeze_before_training(self, pl_module: Module) -> None:
        """Freeze the backbone."""
        self.freeze(_backbone(pl_module))

    def finetune_function(self, pl_module: Module, epoch: int, optimizer: Optimizer) -> None:
        """Unfreeze the backbone when its epoch comes; raise its learning rate afterwards."""
        if epoch < self.unfreeze_backbone_at_epoch:
            return
        head_lr = optimizer.param_groups[0]["lr"]
        if epoch == self.unfreeze_backbone_at_epoch or self.previous_backbone_lr is None:
            lr = self.backbone_initial_lr
            lr = head_lr * self.backbone_initial_ratio_lr if lr is None else lr
            self.unfreeze_and_add_param_group(
                _backbone(pl_module), optimizer, lr, self.initial_denom_lr, self.train_bn
            )
        else:
            lr = self.lambda_func(epoch + 1) * self.previous_backbone_lr
            lr = head_lr if self.should_align and lr > head_lr else lr
            optimizer.param_groups[-1]["lr"] = lr
        self.previous_backbone_lr = lr
        if self.verbose:
            log.info(
                "learning rate %s, of the backbone %s",
                round(head_lr, self.rounding),
                round(lr, self.rounding),
            )


def _backbone(module: Module) -> nn.Module:
    backbone = getattr(module, "backbone", None)
    if not isinstance(backbone, nn.Module):
        raise UsageError(
            f"BackboneFinetuning needs {type(module).__name__}.backbone to be a module, "
            f"got {type(backbone).__name__}"
        )
    return backbone
