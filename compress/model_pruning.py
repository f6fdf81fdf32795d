"""`ModelPruning`: single weights set to zero during a fit, with the arguments of Lightning's callback."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from lifecycle.compress.masks import (
    NO_KERNEL,
    Masks,
    Sparsity,
    apply_masks_,
    count_zeros,
    cubic,
    extend_masks,
    is_structured,
    two_of_four,
)
from lifecycle.compress.pruning_methods import CONTAINERS, METHODS, TWO_OF_FOUR, Amount, check_pruning
from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks.base import Callback

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer

log = logging.getLogger(__name__)


class ModelPruning(Callback):
    """Set the least important weights to zero at the end of epochs, and keep them there.

    Masks stand in this callback's state and not in the module, whose names and checkpoints stay as they are:
    every checkpoint holds zeros, and a fit goes on from it with its masks.

    Args:
        pruning_fn: ``l1_unstructured``, ``random_unstructured``, ``ln_structured``, ``random_structured``, a
            class of `torch.nn.utils.prune`, or ``2:4``: two of every four weights along the inputs stay.
        parameters_to_prune: Pairs of module and parameter name; by default those of all layers.
        parameter_names: What these are called; by default ``weight`` and ``bias``.
        use_global_unstructured: Rank all weights as one, not parameter by parameter.
        amount: What goes at each pruning, of what is still there: a fraction, or a count; or a function of
            the epoch. With a `schedule`: what is gone at its end, of all there is.
        apply_pruning: Whether to prune; or a function of the epoch.
        make_pruning_permanent: Forget the masks when training ends; else later fits keep to them.
        use_lottery_ticket_hypothesis: After pruning, put the weights that stay back to what they were before
            the fit (Frankle and Carbin 2019); or a function of the epoch.
        resample_parameters: Put them to newly drawn values instead.
        pruning_dim: The axis of channels, for the structured ones.
        pruning_norm: The norm that ``ln_structured`` ranks by.
        verbose: 1 logs the sparsity after each pruning, 2 that of every parameter.
        prune_on_train_epoch_end: Prune when a training epoch ends; else when its validation ends.
        schedule: ``constant`` has all of `amount` gone from the first pruning on, ``cubic`` gets there by
            `end_epoch`. Not in Lightning's.
        start_epoch: The first epoch of a schedule.
        end_epoch: Its last one; by default that of the fit.

    Attributes:
        masks: By parameter name; True stays.
    """

    def __init__(
        self,
        pruning_fn: str | type[prune.BasePruningMethod],
        parameters_to_prune: Sequence[tuple[nn.Module, str]] = (),
        parameter_names: list[str] | None = None,
        use_global_unstructured: bool = True,
        amount: Amount | Callable[[int], Amount] = 0.5,
        apply_pruning: bool | Callable[[int], bool] = True,
        make_pruning_permanent: bool = True,
        use_lottery_ticket_hypothesis: bool | Callable[[int], bool] = True,
        resample_parameters: bool = False,
        pruning_dim: int | None = None,
        pruning_norm: int | None = None,
        verbose: int = 0,
        prune_on_train_epoch_end: bool = True,
        *,
        schedule: Literal["constant", "cubic"] | None = None,
        start_epoch: int = 0,
        end_epoch: int | None = None,
    ) -> None:
        check_pruning(
            pruning_fn, use_global_unstructured, amount, pruning_dim, pruning_norm, verbose, schedule
        )
        self.pruning_fn = pruning_fn
        self.parameters_to_prune = parameters_to_prune
        self.parameter_names = parameter_names or ["weight", "bias"]
        self.use_global_unstructured = use_global_unstructured
        self.amount = amount
        self.apply_pruning = apply_pruning
        self.make_pruning_permanent = make_pruning_permanent
        self.use_lottery_ticket_hypothesis = use_lottery_ticket_hypothesis
        self.resample_parameters = resample_parameters
        self.pruning_dim = pruning_dim
        self.pruning_norm = pruning_norm
        self.verbose = verbose
        self.prune_on_train_epoch_end = prune_on_train_epoch_end
        self.schedule = schedule
        self.start_epoch = start_epoch
        self.end_epoch = end_epoch
        self.masks: Masks = {}
        self._first: dict[str, Tensor] = {}
        self._names: list[str] = []

    # State

    def state_dict(self) -> dict[str, object]:
        """Masks, and the weights before the fit where they will be wanted."""
        return {"masks": dict(self.masks), "first": dict(self._first)} if self.masks or self._first else {}

    def load_state_dict(self, state_dict: Mapping[str, object]) -> None:
        """Take both back."""
        self.masks = dict(cast("Masks", state_dict["masks"]))
        self._first = dict(cast("dict[str, Tensor]", state_dict["first"]))

    def take_over(self, pl_module: Module, state_dict: Mapping[str, object]) -> None:
        """Know the parameters that were pruned in other processes."""
        self._names = self._choose(pl_module)
        super().take_over(pl_module, state_dict)

    def report(self, module: nn.Module) -> list[Sparsity]:
        """Zeros of every parameter that is pruned, counted in the module itself."""
        return count_zeros(module, self._names)

    # Hooks

    def setup(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """Find the parameters, and keep their first values for lottery tickets."""
        if stage != "fit":
            return
        self._names = self._choose(pl_module)
        if self.use_lottery_ticket_hypothesis and not self._first:
            parameters = dict(pl_module.named_parameters())
            self._first = {name: parameters[name].detach().clone() for name in self._names}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Module, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Momentum and decay have moved what is masked: back to zero."""
        apply_masks_(pl_module, self.masks)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Prune, if it is done here."""
        if self.prune_on_train_epoch_end:
            self._run(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Prune, if it is done here."""
        if not self.prune_on_train_epoch_end and not trainer.sanity_checking and trainer.state.fn == "fit":
            self._run(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Make it permanent."""
        if self.masks:
            log.info("%s", NO_KERNEL)
        if self.make_pruning_permanent:
            apply_masks_(pl_module, self.masks)
            self.masks, self._first = {}, {}

    # Pruning

    def _run(self, trainer: Trainer, module: Module) -> None:
        epoch = trainer.current_epoch
        wanted = self.apply_pruning(epoch) if callable(self.apply_pruning) else self.apply_pruning
        amount = self._due(module, epoch, trainer.max_epochs)
        if not wanted or not amount:
            return
        parameters = dict(module.named_parameters())
        chosen = {name: parameters[name] for name in self._names}
        masks = {
            name: self.masks.get(name, torch.ones_like(parameter, dtype=torch.bool)).to(parameter.device)
            for name, parameter in chosen.items()
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(epoch)  # the same in a resumed fit
            if self.pruning_fn == TWO_OF_FOUR:
                masks = {name: two_of_four(parameter) for name, parameter in chosen.items()}
            else:
                method = self._method(amount)
                masks = extend_masks(chosen, masks, method, together=self.use_global_unstructured)
            ticket = self.use_lottery_ticket_hypothesis
            if ticket(epoch) if callable(ticket) else ticket:
                self._put_back_(module, chosen)
        self.masks = masks
        apply_masks_(module, masks)
        self._tell(module)

    def _due(self, module: nn.Module, epoch: int, max_epochs: int | None) -> Amount:
        """What goes now, of what is still there; 0 for nothing."""
        amount = self.amount(epoch) if callable(self.amount) else self.amount
        if self.schedule is None or self.pruning_fn == TWO_OF_FOUR:
            return amount
        if epoch < self.start_epoch:
            return 0
        last = self.end_epoch if self.end_epoch is not None else max(1, max_epochs or 1) - 1
        span = max(1, last - self.start_epoch)
        done = 1.0 if last <= self.start_epoch else (epoch - self.start_epoch) / span
        share = amount if self.schedule == "constant" else cubic(float(amount), done)
        rows = {row.name: row for row in count_zeros(module, self._names)}
        total = sum(row.total for row in rows.values())
        gone = sum(int((~mask).sum()) for mask in self.masks.values())
        if self.use_global_unstructured:
            return max(0, round(share * total) - gone)
        return max(0.0, 1 - (1 - share) / max(1 - gone / total, 1e-12))

    def _method(self, amount: Amount) -> prune.BasePruningMethod:
        cls = METHODS[self.pruning_fn] if isinstance(self.pruning_fn, str) else self.pruning_fn
        options: dict[str, Any] = {}
        if cls is prune.LnStructured:
            options["n"] = self.pruning_norm
        if is_structured(cls):
            options["dim"] = self.pruning_dim
        return cls(amount, **options)  # type: ignore[call-arg]

    def _put_back_(self, module: nn.Module, chosen: Mapping[str, nn.Parameter]) -> None:
        """Weights as they were before the fit, or drawn anew as their layer draws them."""
        with torch.no_grad():
            for name, parameter in chosen.items():
                owner, _, own = name.rpartition(".")
                layer: Any = module.get_submodule(owner)
                if self.resample_parameters and hasattr(layer, "reset_parameters"):
                    others = {key: value.clone() for key, value in layer.state_dict().items() if key != own}
                    layer.reset_parameters()
                    layer.load_state_dict(others, strict=False)
                else:
                    parameter.copy_(self._first[name])

    def _choose(self, module: nn.Module) -> list[str]:
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        if self.parameters_to_prune:
            return [_named(names, layer, own) for layer, own in self.parameters_to_prune]
        found = [
            names[id(parameter)]
            for part in module.modules()
            if part is not module and not isinstance(part, CONTAINERS)
            for own in self.parameter_names
            if isinstance(parameter := getattr(part, own, None), nn.Parameter)
        ]
        if self.pruning_fn == TWO_OF_FOUR or self._structured:
            shapes = dict(module.named_parameters())
            least = 2
            found = [name for name in found if shapes[name].ndim >= least]
            if self.pruning_fn == TWO_OF_FOUR:
                found = [name for name in found if shapes[name].shape[1] % 4 == 0]
        if not found:
            raise UsageError(
                f"ModelPruning: {type(module).__name__} has no parameter named "
                f"{' or '.join(self.parameter_names)} that {self.pruning_fn} can prune"
            )
        return list(dict.fromkeys(found))

    @property
    def _structured(self) -> bool:
        cls = METHODS.get(self.pruning_fn) if isinstance(self.pruning_fn, str) else self.pruning_fn
        return cls is not None and is_structured(cls)

    def _tell(self, module: nn.Module) -> None:
        if not self.verbose:
            return
        rows = self.report(module)
        zeros, total = sum(row.zeros for row in rows), sum(row.total for row in rows)
        log.info("ModelPruning: %d of %d weights are zero (%.2f %%)", zeros, total, 100 * zeros / total)
        for row in rows if self.verbose > 1 else ():
            log.info("  %s: %d of %d (%.2f %%)", row.name, row.zeros, row.total, 100 * row.fraction)


def _named(names: Mapping[int, str], layer: nn.Module, own: str) -> str:
    parameter = getattr(layer, own, None)
    if id(parameter) not in names:
        raise UsageError(
            f"parameters_to_prune: {type(layer).__name__} has no parameter '{own}' that belongs to the module"
        )
    return names[id(parameter)]
